//! Tokens and principals: a story for each promise, and histories at random beside a plain count.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::domain::ErrorKind;

const HOUR: Duration = Duration::from_secs(3600);

fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

fn at(hours: u64) -> WallTime {
    WallTime(0).after(HOUR * u32::try_from(hours).unwrap())
}

fn new(no: u8, role: Role, uses: u32) -> NewToken {
    let name = if role == Role::Worker { "" } else { "ana" };
    NewToken { id: TokenId::from_random(u64::from(no)), secret: digest(no), role, name: name.into(), ttl: HOUR, uses, by: "root".into() }
}

/// Whoever shows token `no` with the key `key`.
fn shown(no: u8, key: u8, life_hours: u64) -> Redemption {
    Redemption {
        token: TokenId::from_random(u64::from(no)),
        secret: digest(no),
        key: digest(key),
        host: format!("host-{key}"),
        principal: PrincipalId::from_random(u64::from(no) << 8 | u64::from(key)),
        issued: Issued { serial: u128::from(key), expires: at(life_hours) },
    }
}

impl Tokens {
    fn creates(&mut self, new: NewToken, now: WallTime) -> Result<Token, Error> {
        let (token, entry) = self.create(new, now)?.parts();
        entry.iter().for_each(|entry| self.apply(entry));
        Ok(token)
    }

    fn lets_in(&mut self, shown: Redemption, now: WallTime) -> Result<Principal, Error> {
        let (who, entry) = self.redeem(shown, now)?;
        self.apply(&entry);
        Ok(who)
    }

    fn revokes(&mut self, id: PrincipalId, now: WallTime) -> Result<(), Error> {
        let (_, entry) = self.revoke(id, now)?.parts();
        entry.iter().for_each(|entry| self.apply(entry));
        Ok(())
    }
}

#[track_caller]
fn denied<T: std::fmt::Debug>(answer: Result<T, Error>, says: &str) {
    let error = answer.unwrap_err();
    assert!(error.kind == ErrorKind::Denied && error.message.contains(says), "{error}");
}

#[test]
fn a_token_lets_in_as_many_as_it_says_and_each_by_its_name() {
    let mut tokens = Tokens::default();
    tokens.creates(new(1, Role::Worker, 2), at(0)).unwrap();
    let first = tokens.lets_in(shown(1, 1, 100), at(0)).unwrap();
    assert_eq!((first.name.as_str(), first.role), ("host-1", Role::Worker));
    assert_ne!(tokens.lets_in(shown(1, 2, 100), at(0)).unwrap().id, first.id);
    denied(tokens.lets_in(shown(1, 3, 100), at(0)), "was used 2 times");
    assert_eq!(tokens.token(TokenId::from_random(1)).unwrap().used, 2);
    tokens.creates(new(2, Role::Submitter, 1), at(0)).unwrap();
    assert_eq!(tokens.lets_in(shown(2, 9, 100), at(0)).unwrap().name, "ana", "a person is called as the admin says, not as he says");
}

#[test]
fn a_lost_answer_is_given_again_to_the_same_key_and_to_no_other() {
    let mut tokens = Tokens::default();
    tokens.creates(new(1, Role::Worker, 1), at(0)).unwrap();
    let first = tokens.lets_in(shown(1, 1, 100), at(0)).unwrap();
    let mut again = shown(1, 1, 100);
    again.principal = PrincipalId::from_random(77);
    again.issued.serial = 5;
    assert_eq!(tokens.lets_in(again, at(0)).unwrap(), first);
    assert_eq!(tokens.principal(first.id).unwrap().issued.serial, 5);
    denied(tokens.lets_in(shown(1, 2, 100), at(0)), "as often as it may be");
    tokens.revokes(first.id, at(0)).unwrap();
    denied(tokens.lets_in(shown(1, 1, 100), at(0)), "was revoked");
}

#[test]
fn a_wrong_secret_an_unknown_token_an_old_one_and_a_revoked_one_let_nobody_in() {
    let mut tokens = Tokens::default();
    tokens.creates(new(1, Role::Admin, 5), at(0)).unwrap();
    let mut wrong = shown(1, 1, 100);
    wrong.secret.0[31] ^= 1;
    let (of_wrong, of_unknown) = (tokens.redeem(wrong, at(0)).unwrap_err(), tokens.redeem(shown(2, 1, 100), at(0)).unwrap_err());
    assert_eq!(of_wrong, of_unknown, "whoever guesses learns nothing");
    let zero = Redemption { secret: Digest([0; 32]), ..shown(3, 1, 100) };
    denied(tokens.redeem(zero, at(0)), "not known here");
    denied(tokens.redeem(shown(1, 1, 100), at(1)), "has expired");
    let (_, entry) = tokens.revoke_token(TokenId::from_random(1), at(0)).unwrap().parts();
    tokens.apply(&entry.unwrap());
    denied(tokens.redeem(shown(1, 1, 100), at(0)), "was revoked");
    assert!(matches!(tokens.revoke_token(TokenId::from_random(1), at(0)), Ok(Decided::Before(_))));
}

#[test]
fn the_same_request_makes_one_token_and_limits_are_named() {
    let mut tokens = Tokens::default();
    let first = tokens.creates(new(1, Role::Submitter, 1), at(0)).unwrap();
    let again = NewToken { id: TokenId::from_random(99), ..new(1, Role::Submitter, 1) };
    assert_eq!(tokens.create(again, at(0)).unwrap(), Decided::Before(first));
    assert_eq!(tokens.create(new(1, Role::Admin, 1), at(0)).unwrap_err().kind, ErrorKind::Conflict);
    for (bad, says) in [
        (NewToken { ttl: Duration::ZERO, ..new(2, Role::Worker, 1) }, "ttl: "),
        (NewToken { ttl: TOKEN_TTL_MAX + HOUR, ..new(2, Role::Worker, 1) }, "ttl: "),
        (new(2, Role::Worker, 0), "uses: 0"),
        (new(2, Role::Worker, TOKEN_USES_MAX + 1), "uses: "),
        (NewToken { name: String::new(), ..new(2, Role::Reader, 1) }, "name: a reader needs one"),
        (NewToken { name: "a\nb".into(), ..new(2, Role::Reader, 1) }, "name: "),
        (NewToken { name: " ".into(), ..new(2, Role::Worker, 1) }, "name: "),
    ] {
        let error = tokens.create(bad, at(0)).unwrap_err();
        assert!(error.kind == ErrorKind::Invalid && error.message.starts_with(says), "{error}");
    }
    let host = Redemption { host: "a\u{1b}[31m".into(), ..shown(2, 1, 9) };
    tokens.creates(new(2, Role::Worker, 1), at(0)).unwrap();
    assert_eq!(tokens.redeem(host, at(0)).unwrap_err().kind, ErrorKind::Invalid);
}

#[test]
fn no_more_tokens_than_the_limit_can_be_redeemed_and_old_ones_make_room() {
    let mut tokens = Tokens::default();
    let numbered = |no: u64| {
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&no.to_le_bytes());
        NewToken { id: TokenId::from_random(no), secret: Digest(secret), ..new(0, Role::Worker, 1) }
    };
    for no in 0..TOKENS_MAX as u64 {
        tokens.put_token(token_of(numbered(no)));
    }
    assert_eq!(tokens.create(numbered(TOKENS_MAX as u64), at(0)).unwrap_err().kind, ErrorKind::Exhausted);
    tokens.creates(numbered(TOKENS_MAX as u64), at(1)).unwrap();
    tokens.creates(numbered(TOKENS_MAX as u64 + 1), at(1 + 7 * 24)).unwrap();
    assert_eq!(tokens.tokens().count(), 2, "a week after their end they are forgotten");
}

fn token_of(new: NewToken) -> Token {
    let NewToken { id, secret, role, name, ttl, uses, by } = new;
    Token { id, secret, role, name, created: at(0), by, expires: at(0).after(ttl), uses, used: 0, revoked: None }
}

#[test]
fn the_last_admin_stays_and_whoever_is_revoked_gets_no_new_certificate() {
    let mut tokens = Tokens::default();
    tokens.creates(new(1, Role::Admin, 2), at(0)).unwrap();
    let first = tokens.lets_in(shown(1, 1, 100), at(0)).unwrap().id;
    assert_eq!(tokens.revoke(first, at(0)).unwrap_err().kind, ErrorKind::Conflict);
    let second = tokens.lets_in(shown(1, 2, 50), at(0)).unwrap().id;
    tokens.revokes(first, at(1)).unwrap();
    assert!(matches!(tokens.revoke(first, at(1)), Ok(Decided::Before(_))));
    assert_eq!(tokens.revoke(second, at(1)).unwrap_err().kind, ErrorKind::Conflict);
    denied(tokens.admitted(first).cloned(), "was revoked");
    let issued = Issued { serial: 9, expires: at(200) };
    denied(tokens.renew(first, digest(9), issued, at(1)), "was revoked");
    denied(tokens.renew(PrincipalId::from_random(12345), digest(9), issued, at(1)), "is not known here");
    let (who, entry) = tokens.renew(second, digest(9), issued, at(1)).unwrap();
    tokens.apply(&entry);
    assert_eq!((who.id, tokens.principal(second).unwrap().issued), (second, issued));
}

#[test]
fn an_admin_made_on_the_machine_is_taken_in_once() {
    let mut tokens = Tokens::default();
    let principal = Principal { id: PrincipalId::from_random(5), name: "admin".into(), role: Role::Admin };
    let issued = Issued { serial: 1, expires: at(10) };
    let made = Admitted { principal, token: None, key: digest(1), at: at(0), issued, revoked: None };
    assert_eq!(tokens.take_in(made.clone(), at(10)), None, "its certificate has expired");
    tokens.apply(&tokens.take_in(made.clone(), at(0)).unwrap());
    assert_eq!(tokens.take_in(made, at(0)), None);
}

#[derive(Clone, Debug)]
enum Step {
    Create { no: u8, uses: u32 },
    Redeem { no: u8, key: u8, is_right: bool },
    RevokeToken(u8),
    Revoke { no: u8, key: u8 },
    Renew { no: u8, key: u8 },
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let no = 0u8..4;
    prop_oneof![
        2 => (no.clone(), 1u32..4).prop_map(|(no, uses)| Step::Create { no, uses }),
        8 => (no.clone(), 0u8..6, prop::bool::weighted(0.9)).prop_map(|(no, key, is_right)| Step::Redeem { no, key, is_right }),
        1 => no.clone().prop_map(Step::RevokeToken),
        1 => (no.clone(), 0u8..6).prop_map(|(no, key)| Step::Revoke { no, key }),
        1 => (no, 0u8..6).prop_map(|(no, key)| Step::Renew { no, key }),
        1 => (0u64..40).prop_map(Step::Wait),
    ]
}

proptest! {
    /// What is believed of a token: who came by it while it counted. Everything else follows from that.
    #[test]
    fn never_more_come_than_a_token_lets_in_and_never_by_one_that_does_not_count(steps in prop::collection::vec(step(), 1..80)) {
        let mut tokens = Tokens::default();
        let (mut minutes, mut uses) = (0u64, BTreeMap::<u8, (u32, u64)>::new());
        let (mut revoked_tokens, mut revoked) = (BTreeSet::new(), BTreeSet::new());
        let mut came: BTreeMap<u8, BTreeSet<u8>> = BTreeMap::new();
        let mut log = Vec::new();
        for step in steps {
            let now = WallTime(0).after(Duration::from_secs(60 * minutes));
            match step {
                Step::Create { no, uses: count } => {
                    if let Ok(Decided::New(_, entry)) = tokens.create(new(no, Role::Worker, count), now) {
                        prop_assert!(!uses.contains_key(&no));
                        uses.insert(no, (count, minutes + 60));
                        tokens.apply(&entry);
                        log.push(entry);
                    }
                }
                Step::Redeem { no, key, is_right } => {
                    let mut shown = shown(no, key, 10_000);
                    shown.secret.0[7] ^= u8::from(!is_right);
                    let answer = tokens.redeem(shown, now);
                    let counts = uses.get(&no).is_some_and(|(_, until)| minutes < *until) && !revoked_tokens.contains(&no) && is_right;
                    let others = came.entry(no).or_default();
                    let has_room = uses.get(&no).is_some_and(|(count, _)| others.len() < *count as usize);
                    let known = others.contains(&key);
                    let expected = counts && !revoked.contains(&(no, key)) && (known || has_room);
                    prop_assert_eq!(answer.is_ok(), expected, "{} {} {:?}", no, key, answer);
                    if let Ok((who, entry)) = answer {
                        prop_assert_eq!(known, matches!(entry, IdentityEntry::Renewed { .. }));
                        prop_assert_eq!(who.id, PrincipalId::from_random(u64::from(no) << 8 | u64::from(key)));
                        others.insert(key);
                        tokens.apply(&entry);
                        log.push(entry);
                    }
                }
                Step::RevokeToken(no) => {
                    if let Ok(Decided::New(_, entry)) = tokens.revoke_token(TokenId::from_random(u64::from(no)), now) {
                        revoked_tokens.insert(no);
                        tokens.apply(&entry);
                        log.push(entry);
                    }
                }
                Step::Revoke { no, key } => {
                    let id = PrincipalId::from_random(u64::from(no) << 8 | u64::from(key));
                    if let Ok(Decided::New(_, entry)) = tokens.revoke(id, now) {
                        revoked.insert((no, key));
                        tokens.apply(&entry);
                        log.push(entry);
                    }
                }
                Step::Renew { no, key } => {
                    let id = PrincipalId::from_random(u64::from(no) << 8 | u64::from(key));
                    // The same key: a renewal with another one is a request of its own, and is not taken for a lost answer.
                    let answer = tokens.renew(id, digest(key), Issued { serial: 1, expires: at(10_000) }, now);
                    let known = came.get(&no).is_some_and(|keys| keys.contains(&key));
                    prop_assert_eq!(answer.is_ok(), known && !revoked.contains(&(no, key)));
                    if let Ok((_, entry)) = answer {
                        tokens.apply(&entry);
                        log.push(entry);
                    }
                }
                Step::Wait(more) => minutes += more,
            }
            for (no, keys) in &came {
                prop_assert!(keys.len() <= uses.get(no).map_or(0, |(count, _)| *count as usize));
            }
        }
        let mut replayed = Tokens::default();
        log.iter().for_each(|entry| replayed.apply(entry));
        prop_assert!(replayed == tokens, "the entries give the same state");
    }
}
