//! Sizes, spans and pairs in a body: as people type them, or as numbers.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use crate::domain::{ArrayRange, Error, Keep, MaxFailed};
use crate::rpc::units::{parse_duration, parse_keep, parse_size};

#[derive(serde::Deserialize)]
#[serde(untagged, expecting = "a whole number, or a text, is needed")]
enum Scalar {
    Number(u64),
    Text(String),
}

macro_rules! read {
    ($($(#[$doc:meta])* $name:ident($inner:ty) = $number:expr, $text:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
            #[serde(try_from = "Scalar")]
            pub(super) struct $name(pub(super) $inner);

            impl TryFrom<Scalar> for $name {
                type Error = Error;

                fn try_from(scalar: Scalar) -> Result<Self, Error> {
                    match scalar {
                        Scalar::Number(number) => $number(number).map(Self),
                        Scalar::Text(text) => $text(&text).map(Self),
                    }
                }
            }
        )*
    };
}

read! {
    /// Bytes: `4294967296`, `"4G"`.
    Size(u64) = Ok, parse_size;
    /// Seconds: `7200`, `"2h"`.
    Span(Duration) = span, parse_duration;
    /// Seconds: `43200`, `"12h"`, `"forever"`.
    KeepFor(Keep) = |seconds| span(seconds).map(Keep::For), parse_keep;
    /// `5`, `"10%"`.
    Failed(MaxFailed) = |count: u64| count.to_string().parse(), str::parse;
    /// `"1-100"`, `"0-90:10"`, `7`.
    Array(ArrayRange) = |number: u64| number.to_string().parse(), str::parse;
}

fn span(seconds: u64) -> Result<Duration, Error> {
    parse_duration(&seconds.to_string())
}

/// An object of texts, in its order. A name that is there twice is refused: one of its values would be overlooked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pairs(pub(super) Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs, M::Error> {
        let mut pairs = Vec::new();
        let mut names = std::collections::BTreeSet::new();
        while let Some((name, value)) = map.next_entry::<String, String>()? {
            if !names.insert(name.clone()) {
                return Err(de::Error::custom(format_args!("`{name}` is there twice")));
            }
            pairs.push((name, value));
        }
        Ok(Pairs(pairs))
    }
}

/// What is written as an object. A structure alone would be read from an array as well, by the places of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Object<T>, M::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: de::DeserializeOwned>(text: &str) -> Result<T, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn sizes_and_spans_are_numbers_or_texts() {
        assert_eq!([read::<Size>("12").unwrap(), read::<Size>("\"4G\"").unwrap()], [Size(12), Size(4 << 30)]);
        assert_eq!([read::<Span>("7200").unwrap(), read::<Span>("\"2h\"").unwrap()], [Span(Duration::from_secs(7200)); 2]);
        assert_eq!(read::<KeepFor>("\"forever\"").unwrap(), KeepFor(Keep::Forever));
        assert_eq!(read::<Failed>("5").unwrap(), Failed(MaxFailed::Count(5)));
        assert_eq!(read::<Failed>("\"10%\"").unwrap(), Failed(MaxFailed::Percent(10)));
        assert_eq!(read::<Array>("\"0-9\"").unwrap(), Array(ArrayRange { first: 0, last: 9, step: 1 }));
        assert!(read::<Size>("\"4X\"").unwrap_err().starts_with("size `4X`: write it as"));
        for bad in ["-1", "1.5", "null", "[]", "\"\"", "99999999999999999999", "18446744073709551615"] {
            assert!(read::<Span>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_array_is_no_object() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Wish {
            stop: bool,
        }
        assert_eq!(read::<Object<Wish>>(r#"{"stop":true}"#).unwrap(), Object(Wish { stop: true }));
        assert!(read::<Wish>("[true]").is_ok(), "which is why");
        assert!(read::<Object<Wish>>("[true]").unwrap_err().contains("expected an object"));
        assert!(read::<Object<Wish>>(r#"{"stop":true,"go":1}"#).unwrap_err().contains("unknown field `go`"));
    }

    #[test]
    fn a_name_that_is_there_twice_is_refused() {
        assert_eq!(read::<Pairs>(r#"{"B":"2","A":"1"}"#).unwrap(), Pairs(vec![("B".into(), "2".into()), ("A".into(), "1".into())]));
        assert!(read::<Pairs>(r#"{"A":"1","A":"2"}"#).unwrap_err().contains("`A` is there twice"));
        assert!(read::<Pairs>(r#"{"A":1}"#).is_err() && read::<Pairs>("[]").is_err());
    }
}
