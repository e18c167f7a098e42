//! `GET /v1/openapi.json`: what there is, in the words of OpenAPI 3.1. It is kept by hand, and a test compares it with the list of routes.

use axum::response::Response;

use super::ask::json_text;

/// `docs/openapi.json`.
const OPENAPI: &str = include_str!("../../../docs/openapi.json");

pub(super) async fn get() -> Response {
    json_text(OPENAPI)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::web::api::routes::routes;

    /// The words of the queries, by `GET /v1/jobs`.
    type Words = BTreeMap<String, BTreeSet<String>>;

    fn document() -> serde_json::Value {
        serde_json::from_str(OPENAPI).unwrap()
    }

    /// What a reference within the document means.
    fn resolved<'a>(document: &'a serde_json::Value, value: &'a serde_json::Value) -> &'a serde_json::Value {
        match value["$ref"].as_str() {
            Some(reference) => {
                document.pointer(reference.strip_prefix('#').unwrap()).unwrap_or_else(|| panic!("{reference}: nothing is there"))
            }
            None => value,
        }
    }

    fn described(document: &serde_json::Value) -> Words {
        let mut described = Words::new();
        for (path, verbs) in document["paths"].as_object().unwrap() {
            for (verb, operation) in verbs.as_object().unwrap() {
                let parameters = operation["parameters"].as_array().into_iter().flatten().map(|parameter| resolved(document, parameter));
                let words = parameters.filter(|it| it["in"] == "query").map(|it| it["name"].as_str().unwrap().to_owned());
                described.insert(format!("{} {path}", verb.to_uppercase()), words.collect());
            }
        }
        described
    }

    #[test]
    fn it_describes_what_is_served_and_nothing_else() {
        let served: Words =
            routes().iter().map(|route| (route.name.to_owned(), route.words.iter().map(|word| (*word).to_owned()).collect())).collect();
        let described = described(&document());
        for (name, words) in &served {
            assert_eq!(described.get(name), Some(words), "{name}: as docs/openapi.json has it, and as it is served");
        }
        let unserved: Vec<_> = described.keys().filter(|name| !served.contains_key(*name)).collect();
        assert!(unserved.is_empty(), "described, and not served: {unserved:?}");
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_route_says_how_it_refuses() {
        let document = document();
        fn references<'a>(value: &'a serde_json::Value, found: &mut Vec<&'a serde_json::Value>) {
            match value {
                serde_json::Value::Object(fields) => {
                    found.extend(fields.contains_key("$ref").then_some(value));
                    fields.values().for_each(|value| references(value, found));
                }
                serde_json::Value::Array(items) => items.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 100);
        assert!(found.into_iter().all(|reference| resolved(&document, reference).is_object()));
        let mut ids = BTreeSet::new();
        for (path, verbs) in document["paths"].as_object().unwrap() {
            for (verb, operation) in verbs.as_object().unwrap() {
                let answers = operation["responses"].as_object().unwrap();
                for status in ["200", "400", "401", "403"] {
                    assert!(answers.contains_key(status), "{verb} {path}: {status}");
                }
                assert!(operation["summary"].is_string(), "{verb} {path}");
                assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{verb} {path}: its id is another's");
                let has_name = path.contains('{');
                let names =
                    operation["parameters"].as_array().into_iter().flatten().filter(|it| resolved(&document, it)["in"] == "path").count();
                assert_eq!(names, usize::from(has_name), "{verb} {path}");
            }
        }
    }
}
