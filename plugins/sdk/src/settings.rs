//! Values of a plugin's settings, typed and checked.

use std::fmt::Display;
use std::ops::{Bound, RangeBounds};

use crate::Error;

/// The value of each setting that the plugin described, as the user gave it or at its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(Vec<(String, String)>);

impl Settings {
    /// From names and values. For tests there is [`testing::settings`](crate::testing::settings), which knows the defaults.
    pub fn new(values: Vec<(String, String)>) -> Self {
        Self(values)
    }

    /// The text of a setting.
    ///
    /// # Errors
    ///
    /// When the plugin does not describe it.
    pub fn text(&self, name: &str) -> Result<&str, Error> {
        let value = self.0.iter().find(|(given, _)| given == name);
        value.map(|(_, value)| value.as_str()).ok_or_else(|| {
            Error::new(format!(
                "the plugin asked for a setting '{name}' that it does not describe; this is the plugin's mistake"
            ))
        })
    }

    /// A setting's value.
    ///
    /// # Errors
    ///
    /// When it is no `T`, naming the setting, the value and what is expected.
    pub fn get<T: SettingValue>(&self, name: &str) -> Result<T, Error> {
        self.within(name, ..)
    }

    /// A setting's value in a range, such as `1..` or `0.0..=1.0`. A pair of [`Bound`]s leaves out the start, too:
    /// `(Bound::Excluded(0.0), Bound::Unbounded)` is over 0.
    ///
    /// # Errors
    ///
    /// When it is no `T` or outside the range, naming the setting, the value and what is expected.
    pub fn within<T: SettingValue>(&self, name: &str, range: impl RangeBounds<T>) -> Result<T, Error> {
        parse(name, self.text(name)?, &range)
    }

    /// A setting's value in a range, or none when its text is empty.
    ///
    /// # Errors
    ///
    /// As [`within`](Self::within).
    pub fn optional<T: SettingValue>(&self, name: &str, range: impl RangeBounds<T>) -> Result<Option<T>, Error> {
        match self.text(name)? {
            "" => Ok(None),
            text => parse(name, text, &range).map(Some),
        }
    }

    /// Values separated by commas, each in a range; at least one.
    ///
    /// # Errors
    ///
    /// As [`within`](Self::within), of the first value that is wrong.
    pub fn list<T: SettingValue>(&self, name: &str, range: impl RangeBounds<T>) -> Result<Vec<T>, Error> {
        self.text(name)?.split(',').map(|text| parse(name, text.trim(), &range)).collect()
    }

    /// One of several named values.
    ///
    /// # Errors
    ///
    /// When it is none of them, naming them.
    pub fn choice<T: Clone>(&self, name: &str, choices: &[(&str, T)]) -> Result<T, Error> {
        let text = self.text(name)?;
        if let Some((_, value)) = choices.iter().find(|(choice, _)| *choice == text) {
            return Ok(value.clone());
        }
        let choices: Vec<String> = choices.iter().map(|(choice, _)| format!("'{choice}'")).collect();
        Err(wrong(name, text, &format!("one of {}", choices.join(", "))))
    }
}

fn parse<T: SettingValue>(name: &str, text: &str, range: &impl RangeBounds<T>) -> Result<T, Error> {
    T::parse(text).filter(|value| range.contains(value)).ok_or_else(|| wrong(name, text, &expected(range)))
}

fn wrong(name: &str, text: &str, expected: &str) -> Error {
    Error::setting(format!("setting '{name}' is '{text}', and must be {expected}"))
}

fn expected<T: SettingValue>(range: &impl RangeBounds<T>) -> String {
    let least = match range.start_bound() {
        Bound::Included(least) => Some((true, least.to_string())),
        Bound::Excluded(below) => Some((false, below.to_string())),
        Bound::Unbounded => T::LIMITS.map(|(least, _)| (true, least.to_string())),
    };
    let most = match range.end_bound() {
        Bound::Included(most) => Some((true, most.to_string())),
        Bound::Excluded(above) => Some((false, above.to_string())),
        Bound::Unbounded => T::LIMITS.map(|(_, most)| (true, most.to_string())),
    };
    let least = least.map(|(included, least)| (if included { "at least" } else { "over" }, least));
    let most = most.map(|(included, most)| (if included { "at most" } else { "under" }, most));
    match (least, most) {
        (Some(("at least", least)), Some(("at most", most))) => format!("{} from {least} to {most}", T::KIND),
        (Some((over, least)), Some((under, most))) => format!("{}, {over} {least} and {under} {most}", T::KIND),
        (Some((word, bound)), None) | (None, Some((word, bound))) => format!("{}, {word} {bound}", T::KIND),
        (None, None) => T::KIND.to_owned(),
    }
}

/// What a setting's text can be read as.
pub trait SettingValue: Sized + PartialOrd + Display {
    /// What the text must be, such as `a whole number`.
    const KIND: &'static str;
    /// The least and the most there can be, where that is worth saying.
    const LIMITS: Option<(Self, Self)> = None;

    /// Reads the text; none when it is no such value.
    fn parse(text: &str) -> Option<Self>;
}

macro_rules! whole_numbers {
    ($($type:ty),*) => {$(
        impl SettingValue for $type {
            const KIND: &'static str = "a whole number";
            const LIMITS: Option<(Self, Self)> = Some((Self::MIN, Self::MAX));

            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )*};
}

whole_numbers!(u8, u16, u32, u64, usize, i32, i64);

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl SettingValue for $type {
            const KIND: &'static str = "a number";

            fn parse(text: &str) -> Option<Self> {
                text.parse().ok().filter(|value: &Self| value.is_finite())
            }
        }
    )*};
}

numbers!(f32, f64);

impl SettingValue for bool {
    const KIND: &'static str = "'true' or 'false'";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl SettingValue for String {
    const KIND: &'static str = "a text";

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(value: &str) -> Settings {
        Settings::new(vec![("x".into(), value.into())])
    }

    fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
        result.unwrap_err().message().to_owned()
    }

    #[test]
    fn values_are_typed() {
        assert_eq!(settings("10").get::<u32>("x").unwrap(), 10);
        assert_eq!(settings("0.5").within("x", 0.0..=1.0_f64).unwrap(), 0.5);
        assert!(settings("true").get::<bool>("x").unwrap());
        assert_eq!(settings("").optional("x", 1u32..).unwrap(), None);
        assert_eq!(settings("7").optional("x", 1u32..).unwrap(), Some(7));
        assert_eq!(settings("16, 64,256").list("x", 1u32..).unwrap(), [16, 64, 256]);
        assert_eq!(settings("b").choice("x", &[("a", 1), ("b", 2)]).unwrap(), 2);
    }

    #[test]
    fn errors_name_setting_value_and_what_is_expected() {
        let number = "a whole number from 1 to 4294967295";
        assert_eq!(message(settings("ten").within("x", 1u32..)), format!("setting 'x' is 'ten', and must be {number}"));
        assert_eq!(message(settings("0").within("x", 1u32..)), format!("setting 'x' is '0', and must be {number}"));
        assert_eq!(message(settings("1,,2").list("x", 1u32..)), format!("setting 'x' is '', and must be {number}"));
        assert_eq!(message(settings("inf").get::<f64>("x")), "setting 'x' is 'inf', and must be a number");
        assert_eq!(
            message(settings("0").within("x", (Bound::Excluded(0.0_f32), Bound::Unbounded))),
            "setting 'x' is '0', and must be a number, over 0"
        );
        assert_eq!(
            message(settings("2").within("x", (Bound::Excluded(0.0_f32), Bound::Included(1.0)))),
            "setting 'x' is '2', and must be a number, over 0 and at most 1"
        );
        assert_eq!(message(settings("yes").get::<bool>("x")), "setting 'x' is 'yes', and must be 'true' or 'false'");
        assert_eq!(
            message(settings("c").choice("x", &[("a", 1), ("b", 2)])),
            "setting 'x' is 'c', and must be one of 'a', 'b'"
        );
    }

    #[test]
    fn a_setting_that_is_not_described_is_the_plugins_mistake() {
        assert!(message(settings("1").get::<u32>("y")).contains("the plugin's mistake"));
    }
}
