//! Memory that serving works in: the cache, activations, and what host and device tell each other. Taken once for a
//! number of sequences and a length, then reused.

use harness_core::TokenRequest;

use super::args::{Address, Cache, Choice, Contest, Job, Row};
use super::driver::{Buffer, DriverError, Gpu, Mapped};
use super::kernels::Kernels;
use super::layout::{Arena, Dims};
use super::prompts::{self, JobPlaces, Part};
use super::step;

/// Positions are reserved in steps of so many.
const ROOM_STEP: usize = 64;
/// Prompts are read in parts of about so many tokens, which is enough to keep a GPU busy.
const PART_ROWS: usize = 8192;
/// No token: what the ring holds until the device has written.
pub(crate) const NO_TOKEN: u32 = u32::MAX;
/// What the device writes in place of a token where the logits are not numbers; `kernels/choose.h` has the same.
pub(crate) const NO_NUMBER: u32 = u32::MAX - 1;

/// What the memory is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) sequences: usize,
    /// Positions of a sequence.
    pub(crate) room: usize,
}

impl Size {
    /// Room for `batch` sequences of `length` tokens and for all that there was room for; `None` if that is no more.
    pub(crate) fn grown(self, batch: usize, length: usize) -> Option<Self> {
        if batch <= self.sequences && length <= self.room {
            return None;
        }
        Some(Self { sequences: batch.max(self.sequences), room: length.next_multiple_of(ROOM_STEP).max(self.room) })
    }

    /// The most tokens of prompts that are read in one pass.
    pub(crate) fn most_rows(self) -> usize {
        (self.sequences * self.room).min(PART_ROWS.max(self.room)).max(self.sequences)
    }
}

/// Offsets of everything in the one allocation.
#[derive(Debug)]
struct Places {
    keys: usize,
    values: usize,
    residual: usize,
    normed: usize,
    queries: usize,
    attended: usize,
    hidden: usize,
    partials: usize,
    logits: usize,
    job: usize,
    tokens: usize,
    contests: usize,
    statistics: usize,
    arrived: usize,
    packets: usize,
    packet_bytes: usize,
    bytes: usize,
}

impl Places {
    fn new(dims: &Dims, kernels: &Kernels, size: Size, packets: usize) -> Self {
        let mut arena = Arena::default();
        let rows = size.most_rows();
        let cache = dims.layers * layer_cache_bytes(dims, size);
        let partial_rows = kernels.partial_rows(rows, dims.dp, [dims.ap, dims.fp]);
        Self {
            keys: arena.take(cache),
            values: arena.take(cache),
            residual: arena.take(4 * rows * dims.dp),
            normed: arena.take(dims.prompt_parts * dims.size * rows * dims.dp),
            queries: arena.take(dims.size * rows * dims.ap),
            attended: arena.take(dims.size * rows * dims.ap),
            hidden: arena.take(dims.size * rows * dims.fp),
            partials: arena.take(4 * partial_rows * dims.dp),
            logits: arena.take(4 * size.sequences * dims.vp),
            job: arena.take(most_job_bytes(size)),
            tokens: arena.take(4 * size.sequences),
            contests: arena.take(size_of::<Contest>() * size.sequences),
            statistics: arena.take(8 * step::STATISTICS * size.sequences),
            arrived: arena.take(4),
            packets: arena.take(8 * packets),
            packet_bytes: 8 * packets,
            bytes: arena.bytes(),
        }
    }
}

/// Bytes of one layer's keys.
fn layer_cache_bytes(dims: &Dims, size: Size) -> usize {
    size.sequences * dims.heads * size.room * dims.hs * dims.size
}

fn most_job_bytes(size: Size) -> usize {
    JobPlaces::new(size.sequences, size.most_rows(), size.sequences).bytes
}

/// The addresses of what a pass over prompts is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartAddresses {
    pub(crate) rows: Address,
    pub(crate) tokens: Address,
    pub(crate) starts: Address,
    pub(crate) slots: Address,
}

/// Memory that serving works in.
pub(crate) struct Memory {
    pub(crate) size: Size,
    places: Places,
    device: Buffer,
    dims: Dims,
    /// What the device fetches before each pass over prompts.
    staging: Vec<Mapped<u8>>,
    /// Token k of sequence s, at k * stride + s; and a word for [`Memory::failed`].
    ring: Mapped<u32>,
    /// Places of the ring, from its first on, that tokens may be in that nobody took.
    expected: usize,
}

impl Memory {
    /// Bytes on the device for that size. `packets`: of the generating kernel's exchange.
    pub(crate) fn bytes(dims: &Dims, kernels: &Kernels, size: Size, packets: usize) -> usize {
        Places::new(dims, kernels, size, packets).bytes
    }

    pub(crate) fn new(
        gpu: &Gpu,
        dims: &Dims,
        kernels: &Kernels,
        size: Size,
        packets: usize,
    ) -> Result<Self, DriverError> {
        let places = Places::new(dims, kernels, size, packets);
        Ok(Self {
            device: gpu.zeroed(places.bytes)?,
            ring: gpu.mapped(size.sequences * size.room + 1)?,
            expected: size.sequences * size.room,
            staging: vec![gpu.mapped(most_job_bytes(size))?],
            dims: *dims,
            places,
            size,
        })
    }

    fn at(&self, offset: usize) -> Address {
        self.device.address(offset)
    }

    /// Keys and values of a layer, from sequence 0 on.
    pub(crate) fn cache(&self, layer: usize) -> Cache {
        let offset = layer * self.layer_cache_bytes();
        // Both are bounded by the model's context and sizes.
        Cache {
            keys: self.at(self.places.keys + offset),
            values: self.at(self.places.values + offset),
            heads: self.dims.heads as i32,
            room: self.size.room as i32,
            hs: self.dims.hs as i32,
            reserved: 0,
        }
    }

    pub(crate) fn layer_cache_bytes(&self) -> usize {
        layer_cache_bytes(&self.dims, self.size)
    }

    pub(crate) fn residual(&self) -> Address {
        self.at(self.places.residual)
    }

    pub(crate) fn normed(&self) -> Address {
        self.at(self.places.normed)
    }

    pub(crate) fn queries(&self) -> Address {
        self.at(self.places.queries)
    }

    pub(crate) fn attended(&self) -> Address {
        self.at(self.places.attended)
    }

    pub(crate) fn hidden(&self) -> Address {
        self.at(self.places.hidden)
    }

    pub(crate) fn partials(&self) -> Address {
        self.at(self.places.partials)
    }

    /// Of the sequence number `first` of the batch.
    pub(crate) fn logits(&self, first: usize) -> Address {
        self.at(self.places.logits + 4 * first * self.dims.vp)
    }

    pub(crate) fn download_logits(&self, sequence: usize) -> Result<Vec<f32>, DriverError> {
        self.device.download(self.places.logits + 4 * sequence * self.dims.vp, self.dims.vocabulary)
    }

    /// The tokens that were chosen last, from the sequence number `first` on.
    pub(crate) fn tokens(&self, first: usize) -> Address {
        self.at(self.places.tokens + 4 * first)
    }

    pub(crate) fn contests(&self, first: usize) -> Address {
        self.at(self.places.contests + size_of::<Contest>() * first)
    }

    /// What the kernel for steps knows of each row's columns.
    pub(crate) fn statistics(&self) -> Address {
        self.at(self.places.statistics)
    }

    /// Where that kernel's blocks meet.
    pub(crate) fn arrived(&self) -> Address {
        self.at(self.places.arrived)
    }

    pub(crate) fn packets(&self) -> Address {
        self.at(self.places.packets)
    }

    /// Forgets all packets, so that their numbers can start again.
    pub(crate) fn clear_packets(&self) -> Result<(), DriverError> {
        self.device.upload(self.places.packets, &vec![0; self.places.packet_bytes])
    }

    /// Where a kernel whose blocks wait for each other says that it gave up: behind the ring.
    pub(crate) fn failed(&self) -> Address {
        self.ring.address(self.ring.len() - 1)
    }

    /// Whether such a kernel gave up.
    pub(crate) fn has_failed(&self) -> bool {
        self.ring.read(self.ring.len() - 1) != 0
    }

    fn job_places(&self, rows: usize, sequences: usize) -> JobPlaces {
        JobPlaces::new(self.size.sequences, rows, sequences)
    }

    /// Where each sequence stands.
    pub(crate) fn state_rows(&self, first: usize) -> Address {
        self.at(self.places.job + self.job_places(0, 0).state_rows + size_of::<Row>() * first)
    }

    pub(crate) fn choices(&self, first: usize) -> Address {
        self.at(self.places.job + self.job_places(0, 0).choices + size_of::<Choice>() * first)
    }

    pub(crate) fn steps(&self, first: usize) -> Address {
        self.at(self.places.job + self.job_places(0, 0).steps + 4 * first)
    }

    /// Where a pass over prompts of `rows` tokens and `sequences` sequences finds what it is about.
    pub(crate) fn part(&self, rows: usize, sequences: usize) -> PartAddresses {
        let places = self.job_places(rows, sequences);
        let at = |offset| self.at(self.places.job + offset);
        PartAddresses {
            rows: at(places.rows),
            tokens: at(places.tokens),
            starts: at(places.starts),
            slots: at(places.slots),
        }
    }

    pub(crate) fn ring(&self, index: usize) -> Address {
        self.ring.address(index)
    }

    /// Makes the first `count` places of the ring ready for tokens.
    pub(crate) fn expect_tokens(&mut self, count: usize) {
        (0..self.expected).for_each(|index| self.ring.write(index, NO_TOKEN));
        self.expected = count;
    }

    /// Takes a token out of the ring, as soon as the device has written it: now, when its place is in the processor's
    /// cache, and not when the next request waits for an empty ring.
    pub(crate) fn take_token(&self, index: usize) -> Option<u32> {
        let token = Some(self.ring.read(index)).filter(|&token| token != NO_TOKEN)?;
        self.ring.write(index, NO_TOKEN);
        Some(token)
    }

    /// Says that all expected tokens were taken.
    pub(crate) fn all_taken(&mut self) {
        self.expected = 0;
    }

    /// Puts down what a pass over prompts is about for the device to fetch.
    pub(crate) fn stage(&mut self, gpu: &Gpu, requests: &[&TokenRequest], part: &Part) -> Result<(), DriverError> {
        while self.staging.len() <= part.pass {
            self.staging.push(gpu.mapped(most_job_bytes(self.size))?);
        }
        let places = self.job_places(part.rows, part.sequences.len());
        prompts::put(&self.staging[part.pass], places, requests, part);
        Ok(())
    }

    /// What the device has to fetch for the pass number `pass`, of `rows` tokens and `sequences` sequences, which is
    /// staged.
    pub(crate) fn job(&self, pass: usize, rows: usize, sequences: usize) -> Job {
        let places = self.job_places(rows, sequences);
        let from = places.from(pass);
        // Bounded by the model's context and the largest batch.
        let words = ((places.bytes - from) / 4) as i64;
        Job { from: self.staging[pass].address(from), to: self.at(self.places.job + from), words }
    }
}
