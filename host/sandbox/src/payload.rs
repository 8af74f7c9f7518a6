//! How many bytes a value has on its way between guest and host.

use wasmtime::component::Resource;

use crate::bindings::{common, gpu, model, recordings, wit_report};

/// The bytes of a value: of its numbers, of its texts and lists, and of all that they hold.
pub(crate) trait Payload {
    fn bytes(&self) -> u64;
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Payload for $type {
            fn bytes(&self) -> u64 {
                size_of::<$type>() as u64
            }
        }
    )*};
}

numbers!(u8, u32, u64, f32, f64, bool);

/// Cases that carry nothing.
macro_rules! cases {
    ($($type:ty),*) => {$(
        impl Payload for $type {
            fn bytes(&self) -> u64 {
                1
            }
        }
    )*};
}

cases!(model::Finish, recordings::Direction, recordings::Ending);

macro_rules! records {
    ($($type:ty { $($field:ident),* })*) => {$(
        impl Payload for $type {
            fn bytes(&self) -> u64 {
                0 $(+ self.$field.bytes())*
            }
        }
    )*};
}

records! {
    model::Info { name, backend, device, dtype, weights, parameters, layers, heads, width, vocabulary, context }
    model::Request { prompt, max_new_tokens, stop_at_end_of_text, sampling }
    model::Sampling { temperature, top_k, top_p, seed }
    model::Generation { tokens, text, finish, latency, token_times }
    recordings::Metric { name, unit, help, better, sampled }
    recordings::Reading { metric, value }
    recordings::Fact { name, value }
    recordings::Absence { metric, reason }
    recordings::Extent { iterations, asked, warmup, warmup_time, warmup_steady, batch, wall_time, time_limit, ending }
    gpu::Device { index, uuid, name, memory }
    gpu::State {
        utilization, memory_controller_utilization, memory_used, power, temperature, sm_clock, memory_clock, throttle_reasons
    }
    wit_report::Artifact { name, media_type, contents }
}

impl Payload for String {
    fn bytes(&self) -> u64 {
        self.len() as u64
    }
}

impl<T: Payload> Payload for Vec<T> {
    fn bytes(&self) -> u64 {
        self.iter().map(Payload::bytes).sum()
    }
}

impl<T: Payload> Payload for Option<T> {
    fn bytes(&self) -> u64 {
        1 + self.as_ref().map_or(0, Payload::bytes)
    }
}

impl<T: Payload, E: Payload> Payload for Result<T, E> {
    fn bytes(&self) -> u64 {
        1 + self.as_ref().map_or_else(Payload::bytes, Payload::bytes)
    }
}

impl<A: Payload, B: Payload> Payload for (A, B) {
    fn bytes(&self) -> u64 {
        self.0.bytes() + self.1.bytes()
    }
}

/// A handle is a number.
impl<T> Payload for Resource<T> {
    fn bytes(&self) -> u64 {
        size_of::<u32>() as u64
    }
}

impl Payload for model::Prompt {
    fn bytes(&self) -> u64 {
        1 + match self {
            Self::Text(text) => text.bytes(),
            Self::Tokens(tokens) => tokens.bytes(),
            Self::Synthetic(count) => count.bytes(),
        }
    }
}

impl Payload for model::Error {
    fn bytes(&self) -> u64 {
        1 + crate::convert::message(self).len() as u64
    }
}

impl Payload for common::Failure {
    fn bytes(&self) -> u64 {
        let (Self::Setting(message) | Self::Other(message)) = self;
        1 + message.bytes()
    }
}

impl Payload for wit_report::Output {
    fn bytes(&self) -> u64 {
        1 + match self {
            Self::Text(text) => text.bytes(),
            Self::Files(files) => files.bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_a_value_holds_is_counted() {
        let request = model::Request {
            prompt: model::Prompt::Tokens(vec![1, 2, 3]),
            max_new_tokens: 5,
            stop_at_end_of_text: false,
            sampling: None,
        };
        assert_eq!(request.bytes(), (1 + 3 * 4) + 4 + 1 + 1);
        assert_eq!(Some(vec!["ab".to_owned(), "c".to_owned()]).bytes(), 1 + 3);
        assert_eq!(Err::<f64, _>(model::Error::Stopped("no".into())).bytes(), 1 + 1 + 2);
    }
}
