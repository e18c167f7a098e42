//! One line: who has done what, from where, and what came of it.

use serde::Serialize;

use crate::domain::{Error, Principal, WallTime};
use crate::limits::{AUDIT_LINE_MAX_BYTES, AUDIT_TEXT_MAX_BYTES};

use super::chain::Link;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was not, for this reason.
    Refused(String),
    /// The audit itself is not whole.
    Damaged(String),
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub at: WallTime,
    /// Who; none for one who has not said, and for the head itself.
    pub who: Option<Principal>,
    /// His address; empty for the head itself.
    pub from: String,
    /// By which method, as `/millpond.v1.JobService/KillJob`.
    pub method: String,
    /// Of what: `j7`, a digest, `w3`, a token, a principal.
    pub what: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Why, in his words.
    pub reason: String,
    /// Of the client.
    pub request_id: String,
    /// Refused calls just before this line of which there is none.
    pub omitted: u64,
}

/// As it lies on the disk. `docs/security.md` lists the fields.
#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    prev: String,
    at: String,
    who: Option<Who<'a>>,
    from: &'a str,
    method: &'a str,
    what: &'a str,
    outcome: &'static str,
    why: &'a str,
    reason: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    omitted: u64,
}

#[derive(Serialize)]
struct Who<'a> {
    id: String,
    name: &'a str,
    role: &'static str,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The beginning of a text that is too long for a line.
fn cut(text: &str) -> &str {
    let end = (0..=AUDIT_TEXT_MAX_BYTES.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

impl Record {
    /// The line behind `last`, without its line end.
    ///
    /// # Errors
    /// `Internal` if it can't be written as JSON.
    pub fn line(&self, last: &Link) -> Result<Vec<u8>, Error> {
        let (outcome, why) = match &self.outcome {
            Outcome::Done => ("ok", ""),
            Outcome::Refused(why) => ("refused", why.as_str()),
            Outcome::Damaged(why) => ("damaged", why.as_str()),
        };
        let at = jiff::Timestamp::from_microsecond(self.at.0).map(|at| format!("{at:.6}")).unwrap_or_default();
        let who = self.who.as_ref().map(|who| Who { id: who.id.to_string(), name: cut(&who.name), role: who.role.name() });
        let line = Line {
            seq: last.seq + 1,
            prev: last.hash.to_string(),
            at,
            who,
            from: cut(&self.from),
            method: cut(&self.method),
            what: cut(&self.what),
            outcome,
            why: cut(why),
            reason: cut(&self.reason),
            request_id: cut(&self.request_id),
            omitted: self.omitted,
        };
        let text = serde_json::to_vec(&line).map_err(|error| Error::internal(format!("a line of the audit: {error}")))?;
        // Control characters take six bytes each: only where nearly all are such is it too long.
        if text.len() <= AUDIT_LINE_MAX_BYTES {
            return Ok(text);
        }
        let shown = |text: &str| cut(text).chars().filter(|c| !c.is_control()).collect();
        let bare = Self {
            who: self.who.clone().map(|who| Principal { name: shown(&who.name), ..who }),
            from: shown(&self.from),
            method: shown(&self.method),
            what: shown(&self.what),
            outcome: match &self.outcome {
                Outcome::Done => Outcome::Done,
                Outcome::Refused(why) => Outcome::Refused(shown(why)),
                Outcome::Damaged(why) => Outcome::Damaged(shown(why)),
            },
            reason: shown(&self.reason),
            request_id: shown(&self.request_id),
            ..*self
        };
        bare.line(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{PrincipalId, Role};

    pub(crate) fn record(what: &str) -> Record {
        Record {
            at: WallTime(1_700_000_000_000_005),
            who: Some(Principal { id: PrincipalId::from_random(0xab), name: "ana".into(), role: Role::Submitter }),
            from: "10.0.0.7:40312".into(),
            method: "/millpond.v1.JobService/KillJob".into(),
            what: what.into(),
            outcome: Outcome::Done,
            reason: "a typo".into(),
            request_id: "r-1".into(),
            omitted: 0,
        }
    }

    #[test]
    fn a_line_is_as_it_is_documented() {
        let line = String::from_utf8(record("j7").line(&Link::START).unwrap()).unwrap();
        let zeros = "0".repeat(64);
        assert_eq!(
            line,
            format!(
                "{{\"seq\":1,\"prev\":\"{zeros}\",\"at\":\"2023-11-14T22:13:20.000005Z\",\"who\":{{\"id\":\"p0000000000ab\",\"name\":\"ana\",\
                 \"role\":\"submitter\"}},\"from\":\"10.0.0.7:40312\",\"method\":\"/millpond.v1.JobService/KillJob\",\"what\":\"j7\",\
                 \"outcome\":\"ok\",\"why\":\"\",\"reason\":\"a typo\",\"request_id\":\"r-1\"}}"
            )
        );
    }

    #[test]
    fn whatever_somebody_says_a_line_is_bounded_and_one_line() {
        for nasty in ["\u{1}", "\n{\"seq\":2}", "é", "\"", "\\"] {
            let text = nasty.repeat(5_000);
            let mut record = record(&text);
            (record.reason, record.request_id, record.from, record.method) = (text.clone(), text.clone(), text.clone(), text.clone());
            record.outcome = Outcome::Refused(text.clone());
            record.who.as_mut().unwrap().name = text;
            let line = record.line(&Link::START).unwrap();
            assert!(line.len() <= AUDIT_LINE_MAX_BYTES && !line.contains(&b'\n'), "{}", line.len());
            serde_json::from_slice::<serde_json::Value>(&line).unwrap();
        }
    }
}
