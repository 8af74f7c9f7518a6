//! What is written as names with values, in JSON or TOML, and is read in no other way.
//!
//! What serde derives takes a list in an object's place, value by value, and names our own types where it finds something else.

use std::fmt;
use std::marker::PhantomData;

use indexmap::IndexMap;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// An object of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        keyed(deserializer, "an object").map(Self)
    }
}

/// A whole document of JSON that is an object.
pub fn document<T: DeserializeOwned>(json: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice::<Object<T>>(json).map(|object| object.0)
}

/// A field that is an object of JSON, if it is there.
pub fn optional<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(Option::<Object<T>>::deserialize(deserializer)?.map(|object| object.0))
}

/// A field that is a list of JSON's objects.
pub fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Vec::<Object<T>>::deserialize(deserializer)?.into_iter().map(|object| object.0).collect())
}

/// A field that has an object of JSON under each of its names.
pub fn map<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<IndexMap<String, T>, D::Error> {
    struct Map<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Map<T> {
        type Value = IndexMap<String, T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut map = IndexMap::new();
            while let Some((name, Object(value))) = entries.next_entry()? {
                map.insert(name, value);
            }
            Ok(map)
        }
    }

    deserializer.deserialize_map(Map(PhantomData))
}

/// A field that is a table of TOML.
pub fn table<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    keyed(deserializer, "a table")
}

fn keyed<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D, name: &'static str) -> Result<T, D::Error> {
    struct Keyed<T>(&'static str, PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Keyed<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(Keyed(name, PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        #[serde(default)]
        number: u8,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Outer {
        #[serde(default, deserialize_with = "optional")]
        one: Option<Inner>,
        #[serde(default, deserialize_with = "list")]
        several: Vec<Inner>,
        #[serde(default, deserialize_with = "map")]
        named: IndexMap<String, Inner>,
    }

    fn read(json: &str) -> Result<Outer, String> {
        document(json.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_object_is_an_object_and_no_list() {
        let whole = read(r#"{"one": {"number": 1}, "several": [{}, {"number": 2}], "named": {"a": {"number": 3}}}"#);
        let inner = |number| Inner { number };
        let named = IndexMap::from([("a".to_owned(), inner(3))]);
        assert_eq!(whole, Ok(Outer { one: Some(inner(1)), several: vec![inner(0), inner(2)], named }));
        assert_eq!(read(r#"{"one": null}"#), read("{}"));
        for (json, found) in [
            ("[]", "sequence"),
            ("5", "integer `5`"),
            ("null", "null"),
            (r#"{"one": []}"#, "sequence"),
            (r#"{"one": [1]}"#, "sequence"),
            (r#"{"several": [[]]}"#, "sequence"),
            (r#"{"several": [{}, "x"]}"#, "string \"x\""),
            (r#"{"named": {"a": 5}}"#, "integer `5`"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.starts_with(&format!("invalid type: {found}, expected an object at line 1")), "{error}");
        }
        assert_eq!(
            read(r#"{"one": {"number": "x"}}"#).unwrap_err(),
            "invalid type: string \"x\", expected u8 at line 1 column 22"
        );
    }
}
