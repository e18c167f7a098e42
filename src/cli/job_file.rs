//! Job files: the options of one job, or of several `[[job]]` with what they share above them.

use std::path::Path;

use super::layer::Layer;
use super::toml_file::TomlFile;
use crate::domain::Error;
use crate::limits::JOBS_PER_FILE_MAX;

/// The key of the tables of which each is a job.
const JOB: &str = "job";

/// The jobs of a file, at least one; `-` is standard input. Nothing is known of them yet but that each option may be written so.
pub(crate) fn read(path: &Path) -> Result<Vec<Layer>, Error> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let file = match path == Path::new("-") {
        true => TomlFile::read_from(std::io::stdin().lock(), "standard input")?,
        false => TomlFile::read(path)?.ok_or_else(|| Error::not_found(format!("{}: there is no such file", path.display())))?,
    };
    jobs(&file, folder)
}

fn jobs(file: &TomlFile, folder: &Path) -> Result<Vec<Layer>, Error> {
    let table = file.table();
    let shared = Layer::of_table(file, table, folder, &[JOB])?;
    let Some(item) = table.get(JOB) else { return Ok(vec![shared]) };
    let jobs = item.as_array_of_tables().ok_or_else(|| file.refuse(table, JOB, "`job` is a table of its own for each job: [[job]]"))?;
    if jobs.len() > JOBS_PER_FILE_MAX {
        return Err(file.refuse(table, JOB, format_args!("{} jobs, at most {JOBS_PER_FILE_MAX} are allowed in a file", jobs.len())));
    }
    jobs.iter().map(|job| Layer::of_table(file, job, folder, &[]).map(|layer| layer.over(&shared))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Layer>, Error> {
        jobs(&TomlFile::read_from(text.as_bytes(), "job.toml").unwrap(), Path::new("lab"))
    }

    #[test]
    fn a_file_that_is_wrong_says_where_and_what_was_meant() {
        for (text, says) in [
            ("tiemout = 3", "job.toml: line 1: unknown key `tiemout`: did you mean `timeout`?"),
            ("max_running = 3", "job.toml: line 1: unknown key `max_running`: did you mean `max-running`?"),
            ("\n[[jobs]]", "job.toml: line 2: unknown key `jobs`: did you mean `job`?"),
            (
                "[[job]]\n\n[[job]]\nmem = \"4X\"",
                "job.toml: line 4: invalid value '4X' for '--mem <SIZE>': size `4X`: write it as 4G, 512MiB, 100MB or 12345",
            ),
            ("command = \"wc -l\"", "job.toml: line 1: `command` is a list, the program and its arguments: [\"wc\", \"-l\"]"),
            ("hold = \"yes\"", "job.toml: line 1: `hold` is true or false"),
            ("env = \"A=1\"", "job.toml: line 1: `env` is a table, as { NAME = \"value\" }"),
            ("[env]\nA = [1]", "job.toml: line 1: `env` has at A no text"),
            ("cpus = 1.5", "job.toml: line 1: invalid value '1.5' for '--cpus <N>': not a whole number"),
            ("name = 1979-05-27", "job.toml: line 1: `name` is a single text or number"),
            ("with = [[\"a\"]]", "job.toml: line 1: `with` is a list of texts"),
            ("[name]", "job.toml: line 1: `name` is no table"),
            ("job = 3", "job.toml: line 1: `job` is a table of its own for each job: [[job]]"),
            ("[[job]]\n[[job.job]]", "job.toml: line 2: unknown key `job`: known are"),
        ] {
            let message = read(text).unwrap_err().message;
            assert!(message.starts_with(says), "{message}");
        }
    }

    #[test]
    fn jobs_share_what_stands_above_them_and_pairs_count_by_name() {
        let text = "mem = \"2G\"\nwith = [\"ref.fasta\"]\ncommand = [\"search\", \"{input}\"]\n[env]\nA = 1\nB = \"x\"\n\
                    [[job]]\ninput = \"a.mgf\"\n[[job]]\ninput = \"/data/b.mgf\"\nmem = \"4G\"\nenv = { B = \"y\" }\nhold = true\n";
        let jobs = read(text).unwrap();
        let shown: Vec<String> = jobs.iter().map(|job| job.to_toml().unwrap().to_string()).collect();
        let first = "input = \"lab/a.mgf\"\ncommand = [\"search\", \"{input}\"]\nwith = [\"lab/ref.fasta\"]\n\
                     env = { A = \"1\", B = \"x\" }\nmem = \"2G\"\n";
        assert_eq!(shown[0], first);
        assert!(shown[1].contains("input = \"/data/b.mgf\"") && shown[1].contains("env = { A = \"1\", B = \"y\" }"), "{}", shown[1]);
        assert!(shown[1].contains("hold = true") && shown[1].contains("mem = \"4G\""), "{}", shown[1]);
        // What is written reads back as the same, but for the folder, which it has already.
        let again = super::jobs(&TomlFile::read_from(shown[1].as_bytes(), "x").unwrap(), Path::new("")).unwrap();
        assert_eq!(again[0].to_json()["env"], jobs[1].to_json()["env"]);
        assert!(jobs.iter().all(|job| job.read().is_ok()));
    }

    #[test]
    fn what_lies_above_wins_and_an_input_and_an_array_hide_each_other() {
        let one = |text: &str| read(text).unwrap().remove(0);
        let file = one("array = \"1-9\"\npriority = -3\nwith = [\"a\"]\nhold = true");
        let typed = one("input = \"x\"\nwith = [\"b\"]\nhold = false");
        let both = typed.clone().over(&file).to_json();
        assert_eq!(both, serde_json::json!({ "input": "lab/x", "with": ["lab/b"], "hold": false, "priority": "-3" }));
        let array = one("array = \"1-9\"").over(&one("input = \"x\"\nsplit = \"lines:1\"\nretries = 2"));
        assert_eq!(array.to_json(), serde_json::json!({ "array": "1-9", "retries": "2" }));
    }
}
