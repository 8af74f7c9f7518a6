//! Settings declared once: their names, help, defaults, types and ranges.

use std::ops::RangeBounds;

use crate::{Error, SettingValue, Settings};

/// What a field of [`settings!`](crate::settings) can be: a value, several separated by commas, or one that may be left empty.
pub trait SettingField: Sized {
    /// What its range is of.
    type Value: SettingValue;

    /// Reads the setting of that name.
    ///
    /// # Errors
    ///
    /// As [`Settings::within`].
    fn read(settings: &Settings, name: &str, range: impl RangeBounds<Self::Value>) -> Result<Self, Error>;
}

impl<T: SettingValue> SettingField for T {
    type Value = T;

    fn read(settings: &Settings, name: &str, range: impl RangeBounds<T>) -> Result<Self, Error> {
        settings.within(name, range)
    }
}

impl<T: SettingValue> SettingField for Vec<T> {
    type Value = T;

    fn read(settings: &Settings, name: &str, range: impl RangeBounds<T>) -> Result<Self, Error> {
        settings.list(name, range)
    }
}

impl<T: SettingValue> SettingField for Option<T> {
    type Value = T;

    fn read(settings: &Settings, name: &str, range: impl RangeBounds<T>) -> Result<Self, Error> {
        settings.optional(name, range)
    }
}

/// Declares a plugin's settings as a struct: `describe` adds them to a [`Description`](crate::Description), `read` reads them from
/// [`Settings`](crate::Settings), so that a name, its type, its default and its range stand in one place.
///
/// A field's first line of documentation is the setting's help, and its name with `-` for `_` the setting's name. A field is a
/// [`SettingValue`](crate::SettingValue), a `Vec` of one (separated by commas, at least one), or an `Option` (none where the text is
/// empty). `quick` is the value under `--quick`; `in` is the range of the value or of each.
///
/// ```
/// use harness_plugin::{Description, Error, Host, Reading, Settings, Workload};
///
/// harness_plugin::settings! {
///     /// What can be set.
///     pub struct Options {
///         /// Number of measured runs.
///         runs: u32 = 10, quick 2, in 1..;
///         /// Prompt lengths in tokens.
///         prompt_lengths: Vec<u32> = "16,64", in 1..;
///         /// Only the k most likely tokens are drawn from.
///         top_k: Option<u32> = "", in 1..;
///         /// Ends a generation where the model says so.
///         stop: bool = false;
///     }
/// }
///
/// struct Mine;
///
/// impl Workload for Mine {
///     fn describe() -> Description {
///         Options::describe(Description::new("mine", "0.1.0", "Measures."))
///     }
///
///     fn run(_: &dyn Host, settings: &Settings) -> Result<Vec<Reading>, Error> {
///         let options = Options::read(settings)?;
///         assert_eq!((options.runs, options.prompt_lengths, options.top_k), (3, vec![16, 64], None));
///         Ok(Vec::new())
///     }
/// }
///
/// use harness_plugin::testing::{FakeHost, settings};
/// let description = Mine::describe();
/// assert_eq!(description.settings[1].name, "prompt-lengths");
/// assert_eq!(description.settings[0].quick.as_deref(), Some("2"));
/// Mine::run(&FakeHost::new(), &settings(&description, &[("runs", "3")])).unwrap();
/// let error = Options::read(&settings(&description, &[("runs", "0")])).unwrap_err();
/// assert_eq!(error.message(), "setting 'runs' is '0', and must be a whole number from 1 to 4294967295");
/// ```
#[macro_export]
macro_rules! settings {
    (
        $(#[$outer:meta])*
        $visibility:vis struct $options:ident {
            $(
                #[doc = $help:literal]
                $(#[$inner:meta])*
                $field:ident: $type:ty = $default:literal $(, quick $quick:literal)? $(, in $range:expr)?;
            )*
        }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Debug, PartialEq)]
        $visibility struct $options {
            $(
                #[doc = $help]
                $(#[$inner])*
                pub $field: $type,
            )*
        }

        impl $options {
            /// Adds the settings to what a plugin says of itself.
            #[must_use]
            pub fn describe(description: $crate::Description) -> $crate::Description {
                description$(.setting(
                    $crate::Setting::new(
                        stringify!($field).replace('_', "-"), $help.trim(), $default.to_string(),
                    )$(.quick($quick.to_string()))?
                ))*
            }

            /// Reads the settings.
            ///
            /// # Errors
            ///
            /// When one is not of its type or outside its range, naming it, its value and what is expected.
            pub fn read(settings: &$crate::Settings) -> ::core::result::Result<Self, $crate::Error> {
                ::core::result::Result::Ok(Self {
                    $($field: <$type as $crate::SettingField>::read(
                        settings, &stringify!($field).replace('_', "-"), $crate::__range!($($range)?),
                    )?,)*
                })
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __range {
    () => {
        ..
    };
    ($range:expr) => {
        $range
    };
}
