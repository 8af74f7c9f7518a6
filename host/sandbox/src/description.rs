//! What a plugin says of itself, and the settings that a user gives it.

use crate::error::PluginError;

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its own name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// What can be set.
    pub settings: Vec<Setting>,
}

/// Something that can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `--set name=…`.
    pub name: String,
    /// One sentence.
    pub help: String,
    /// The value unless it is set.
    pub default: String,
    /// The value under `--quick` unless it is set.
    pub quick: Option<String>,
}

impl Description {
    /// A value for each setting: the last that the user gave, or else the default, or under `quick` the quick one.
    pub fn values(
        &self,
        plugin: &str,
        given: &[(String, String)],
        quick: bool,
    ) -> Result<Vec<(String, String)>, PluginError> {
        if let Some((unknown, _)) = given.iter().find(|(name, _)| !self.settings.iter().any(|s| s.name == *name)) {
            let names: Vec<&str> = self.settings.iter().map(|s| s.name.as_str()).collect();
            let known =
                if names.is_empty() { "; it has none".to_owned() } else { format!("; it has: {}", names.join(", ")) };
            return Err(PluginError::UnknownSetting { plugin: plugin.to_owned(), setting: unknown.clone(), known });
        }
        Ok(self
            .settings
            .iter()
            .map(|setting| {
                let given = given.iter().rev().find(|(name, _)| *name == setting.name).map(|(_, value)| value);
                let value = given.or(setting.quick.as_ref().filter(|_| quick)).unwrap_or(&setting.default);
                (setting.name.clone(), value.clone())
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> Description {
        let setting = |name: &str, quick: Option<&str>| Setting {
            name: name.into(),
            help: String::new(),
            default: "10".into(),
            quick: quick.map(Into::into),
        };
        Description {
            name: "x".into(),
            version: "1".into(),
            summary: String::new(),
            settings: vec![setting("runs", Some("2")), setting("batch", None)],
        }
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn given_beats_quick_beats_default() {
        let values = |given: &[_], quick| description().values("x", given, quick).unwrap();
        assert_eq!(values(&[], false), [pair("runs", "10"), pair("batch", "10")]);
        assert_eq!(values(&[], true), [pair("runs", "2"), pair("batch", "10")]);
        let given = [pair("runs", "3"), pair("runs", "4")];
        assert_eq!(values(&given, true), [pair("runs", "4"), pair("batch", "10")]);
    }

    #[test]
    fn unknown_settings_are_refused_with_the_known_ones() {
        let error = description().values("x", &[pair("run", "1")], false).unwrap_err().to_string();
        assert_eq!(error, "x has no setting 'run'; it has: runs, batch");
    }
}
