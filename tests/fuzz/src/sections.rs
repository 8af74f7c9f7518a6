//! Changes WebAssembly section by section, so that a change leaves the sizes around it right.

use libfuzzer_sys::fuzzer_mutate;

const HEADER: usize = 8;
/// Of a core module and of a component within a component, which have sections in them.
const NESTED: [u8; 2] = [1, 4];

struct Section {
    id: u8,
    payload: Vec<u8>,
}

/// A component like `input`, changed somewhere, of at most `max` bytes.
pub fn mutate(input: &[u8], max: usize, seed: u32) -> Vec<u8> {
    let mut random = Random(u64::from(seed) | 1 << 40);
    // Sometimes byte by byte, so that what reads sizes is tried, too.
    let changed = if random.below(8) == 0 { None } else { structured(input, max, true, &mut random) };
    let mut changed = changed.unwrap_or_else(|| bytes(input, max));
    changed.truncate(max);
    changed
}

fn structured(input: &[u8], max: usize, component: bool, random: &mut Random) -> Option<Vec<u8>> {
    let (header, rest) = input.split_at_checked(HEADER)?;
    let mut sections = read(rest)?;
    if sections.is_empty() {
        return None;
    }
    let at = random.below(sections.len());
    match random.below(10) {
        0 => drop(sections.remove(at)),
        1 => {
            let Section { id, payload } = &sections[at];
            let copy = Section { id: *id, payload: payload.clone() };
            let to = random.below(sections.len() + 1);
            sections.insert(to, copy);
        }
        2 => {
            let other = random.below(sections.len());
            sections.swap(at, other);
        }
        _ => {
            let section = &mut sections[at];
            let room = max.saturating_sub(input.len()).min(256) + section.payload.len();
            let nested = component && NESTED.contains(&section.id) && random.below(8) != 0;
            let inner = nested.then(|| structured(&section.payload, room, section.id == 4, random)).flatten();
            section.payload = inner.unwrap_or_else(|| bytes(&section.payload, room));
        }
    }
    let mut output = header.to_vec();
    for Section { id, payload } in sections {
        output.push(id);
        let mut length = payload.len();
        while length >= 0x80 {
            output.push(length as u8 | 0x80);
            length >>= 7;
        }
        output.push(length as u8);
        output.extend(payload);
    }
    Some(output)
}

fn read(mut rest: &[u8]) -> Option<Vec<Section>> {
    let mut sections = Vec::new();
    while let Some((&id, after)) = rest.split_first() {
        let mut length = 0usize;
        let mut bytes = 0;
        loop {
            let byte = *after.get(bytes)?;
            length |= usize::from(byte & 0x7f) << (7 * bytes);
            bytes += 1;
            if byte < 0x80 {
                break;
            }
            if bytes == 4 {
                return None;
            }
        }
        let (payload, after) = after[bytes..].split_at_checked(length)?;
        sections.push(Section { id, payload: payload.to_vec() });
        rest = after;
    }
    Some(sections)
}

fn bytes(input: &[u8], max: usize) -> Vec<u8> {
    let max = max.max(input.len()).max(1);
    let mut data = input.to_vec();
    data.resize(max, 0);
    let length = fuzzer_mutate(&mut data, input.len(), max);
    data.truncate(length);
    data
}

/// Splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end.max(1) as u64) as usize
    }
}
