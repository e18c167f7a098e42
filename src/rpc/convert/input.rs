//! What a job's tasks are made from.

use super::check::{Within, digest, file_name, line, refuse};
use crate::domain::{ArrayRange, Cut, Error, Input, SplitRule};
use crate::limits::{JOB_TASKS_MAX, NAME_MAX_BYTES};
use crate::rpc::pb;
use crate::rpc::pb::job_spec::Input as PbInput;

pub(super) fn input_to_pb(input: &Input) -> PbInput {
    match input {
        Input::Dataset { digest, name, rule } => {
            PbInput::Dataset(pb::DatasetInput { digest: digest.to_string(), split: rule.to_string(), name: name.clone() })
        }
        Input::Array(ArrayRange { first, last, step }) => PbInput::Array(pb::ArrayInput { first: *first, last: *last, step: *step }),
    }
}

/// The oneof `input`; `resolve` is asked for a rule when none is stated.
pub(super) fn input_from_pb(input: Option<PbInput>, resolve: impl FnOnce(&str) -> SplitRule) -> Result<Input, Error> {
    match input {
        Some(PbInput::Dataset(dataset)) => dataset_from_pb(dataset, resolve).within("dataset"),
        Some(PbInput::Array(array)) => array_from_pb(array).within("array").map(Input::Array),
        None => Err(refuse("input", "missing; a dataset or an array is needed")),
    }
}

fn dataset_from_pb(dataset: pb::DatasetInput, resolve: impl FnOnce(&str) -> SplitRule) -> Result<Input, Error> {
    let digest = digest("digest", &dataset.digest)?;
    file_name("name", &dataset.name)?;
    line("split", &dataset.split, NAME_MAX_BYTES)?;
    let rule = if dataset.split.is_empty() {
        resolve(&dataset.name)
    } else {
        dataset.split.parse().map_err(|error: Error| error.context("split"))?
    };
    match rule.cut {
        Cut::Pieces(pieces) if pieces > JOB_TASKS_MAX => {
            Err(refuse("split", format_args!("{pieces} chunks, a job may have at most {JOB_TASKS_MAX}")))
        }
        _ => Ok(Input::Dataset { digest, name: dataset.name, rule }),
    }
}

fn array_from_pb(array: pb::ArrayInput) -> Result<ArrayRange, Error> {
    if array.last < array.first {
        return Err(refuse("last", format_args!("{} is below the first, {}; it must not be", array.last, array.first)));
    }
    let range = ArrayRange { first: array.first, last: array.last, step: array.step.max(1) };
    if range.count() > u64::from(JOB_TASKS_MAX) {
        return Err(refuse("last", format_args!("{range} makes {} tasks, a job may have at most {JOB_TASKS_MAX}", range.count())));
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset() -> pb::DatasetInput {
        pb::DatasetInput { digest: "ab".repeat(32), split: "lines:10".into(), name: "reads.txt".into() }
    }

    fn refusal(input: Option<PbInput>) -> String {
        input_from_pb(input, |name| SplitRule::for_name(name, 4)).unwrap_err().message
    }

    fn array(first: u32, last: u32, step: u32) -> Option<PbInput> {
        Some(PbInput::Array(pb::ArrayInput { first, last, step }))
    }

    #[test]
    fn without_a_rule_the_name_decides() {
        let input = PbInput::Dataset(pb::DatasetInput { split: String::new(), name: "proteins.fasta".into(), ..dataset() });
        let input = input_from_pb(Some(input), |name| SplitRule::for_name(name, 4)).unwrap();
        assert!(matches!(input, Input::Dataset { rule, .. } if rule.to_string() == "fasta/chunks:4"));
    }

    #[test]
    fn a_step_of_zero_counts_as_one() {
        let input = input_from_pb(array(5, 7, 0), |_| unreachable!()).unwrap();
        assert_eq!(input, Input::Array(ArrayRange { first: 5, last: 7, step: 1 }));
    }

    #[test]
    fn an_input_is_refused_for_one_clear_reason() {
        let dataset = |change: fn(&mut pb::DatasetInput)| {
            let mut dataset = dataset();
            change(&mut dataset);
            Some(PbInput::Dataset(dataset))
        };
        for (input, says) in [
            (None, "input: missing; a dataset or an array is needed"),
            (array(3, 2, 1), "array.last: 2 is below the first, 3; it must not be"),
            (array(0, u32::MAX, 0), "array.last: 0-4294967295 makes 4294967296 tasks, a job may have at most 10000000"),
            (array(1, 20_000_001, 2), "array.last: 1-20000001:2 makes 10000001 tasks, a job may have at most 10000000"),
            (dataset(|d| d.digest.clear()), r#"dataset.digest: "" is not a SHA-256: 64 hexadecimal digits are needed"#),
            (dataset(|d| d.name.clear()), "dataset.name: empty; 1 to 255 bytes are needed"),
            (dataset(|d| d.split = "chunks:10000001".into()), "dataset.split: 10000001 chunks, a job may have at most 10000000"),
            (dataset(|d| d.split = "lines".into()), "dataset.split: split rule `lines`: a number is missing"),
        ] {
            // The rules that there are follow.
            assert_eq!(refusal(input).split(" (rules: ").next(), Some(says));
        }
    }
}
