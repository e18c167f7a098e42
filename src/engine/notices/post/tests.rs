use super::*;
use proptest::prelude::*;

const SECOND: u64 = 1000;

fn letter(number: u64) -> Letter {
    Letter { event: "failed".into(), job: "j1".into(), text: String::new(), body: number.to_string() }
}

fn post(names: &[&str], letters: u64) -> Post {
    let mut post = Post::default();
    post.serves(names.iter().map(ToString::to_string));
    (0..letters).for_each(|number| post.add(letter(number)));
    post
}

/// To whom, and which.
fn due(post: &mut Post, now: u64) -> Vec<(String, u64)> {
    let due = post.due(Instant(now));
    assert!(due.iter().all(|(_, number, letter)| letter.body == number.to_string()));
    due.into_iter().map(|(name, number, _)| (name, number)).collect()
}

#[test]
fn each_gets_all_in_order_and_nobody_waits_for_another() {
    let mut post = post(&["a", "b"], 2);
    assert_eq!(due(&mut post, 0), [("a".into(), 0), ("b".into(), 0)]);
    assert!(due(&mut post, 0).is_empty(), "one at a time");
    post.delivered("a");
    assert_eq!(due(&mut post, 0), [("a".into(), 1)]);
    post.delivered("a");
    assert!(!post.is_empty());
    for _ in 0..2 {
        post.delivered("b");
        due(&mut post, 0);
    }
    assert!(post.is_empty() && post.letters.is_empty() && post.bytes == 0);
}

#[test]
fn what_fails_is_tried_again_after_ever_longer_pauses_and_given_up_after_a_day() {
    let mut post = post(&["a"], 2);
    let (mut now, mut pauses) = (0, Vec::new());
    loop {
        assert_eq!(due(&mut post, now), [("a".to_owned(), 0)]);
        match post.failed("a", Instant(now)) {
            Retry::After(pause) => {
                pauses.push(pause.as_secs());
                assert_eq!(post.next_due(), Some(Instant(now).after(pause)));
                assert!(due(&mut post, now + pause.as_millis() as u64 - 1).is_empty());
                now += pause.as_millis() as u64;
            }
            Retry::GivenUp => break,
        }
    }
    assert_eq!(pauses[..10], [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
    assert!(now >= LETTER_GIVEN_UP_AFTER.as_millis() as u64);
    assert_eq!(post.places().collect::<Vec<_>>(), [("a", 1, 1)]);
    now += 300 * SECOND;
    assert_eq!(due(&mut post, now), [("a".to_owned(), 1)]);
    post.delivered("a");
    assert!(post.is_empty());
}

#[test]
fn of_too_many_the_oldest_go_and_are_counted() {
    let mut post = post(&["a", "b"], 1);
    let out = due(&mut post, 0);
    assert_eq!(out.len(), 2);
    (1..LETTERS_MAX as u64 + 3).for_each(|number| post.add(letter(number)));
    assert_eq!(post.letters.len(), LETTERS_MAX);
    // What was out when it went has come after all; or it has not.
    post.delivered("a");
    assert_eq!(post.failed("b", Instant(0)), Retry::GivenUp);
    assert_eq!(post.places().collect::<Vec<_>>(), [("a", 3, 2), ("b", 3, 3)]);
    let large = Letter { body: "x".repeat(LETTERS_MAX_BYTES / 2), ..letter(0) };
    (0..3).for_each(|_| post.add(large.clone()));
    assert_eq!((post.letters.len(), post.bytes), (2, LETTERS_MAX_BYTES / 2 * 2));
    post.add(Letter { body: "x".repeat(LETTERS_MAX_BYTES + 1), ..letter(0) });
    assert!(post.letters.is_empty() && post.is_empty(), "one that is larger than all may be is lost");
}

#[test]
fn one_who_is_new_gets_what_comes_and_one_who_has_gone_holds_nothing_up() {
    let mut post = post(&["a"], 3);
    post.serves(["a".into(), "b".into()]);
    post.add(letter(3));
    assert_eq!(due(&mut post, 0), [("a".into(), 0), ("b".into(), 3)]);
    post.serves(["b".into()]);
    assert_eq!(post.letters.len(), 1);
}

proptest! {
    /// Whoever is deaf and when, and however often it begins again: each gets each letter, in order, at most the last of them twice.
    #[test]
    fn nothing_is_missed_and_at_most_the_last_comes_twice(steps in prop::collection::vec((0u8..6, any::<bool>()), 1..200)) {
        let names = ["a", "b"];
        let mut post = post(&names, 0);
        let (mut kept, mut now, mut added) = (serde_json::to_string(&post).unwrap(), 0, 0);
        let mut places: Vec<(String, u64, u64)> = Vec::new();
        let mut got = [Vec::new(), Vec::new()];
        for (step, coin) in steps.into_iter().chain(std::iter::repeat_n((3, true), 500)) {
            let who = usize::from(coin);
            match step {
                0 | 1 if added < 40 => {
                    post.add(letter(added));
                    added += 1;
                    kept = serde_json::to_string(&post).unwrap();
                }
                2 => {
                    // It dies, perhaps between a delivery and the note of it.
                    post = serde_json::from_str(&kept).unwrap();
                    post.serves(names.iter().map(ToString::to_string));
                    for (name, next, lost) in &places {
                        post.has_come_to(name, *next, *lost);
                    }
                }
                3 => {
                    now += 300 * SECOND;
                    for (name, number, _) in post.due(Instant(now)) {
                        got[usize::from(name == "b")].push(number);
                        post.delivered(&name);
                        places = post.places().map(|(name, next, lost)| (name.to_owned(), next, lost)).collect();
                    }
                }
                4 => {
                    for (name, _, _) in post.due(Instant(now)) {
                        prop_assert!(matches!(post.failed(&name, Instant(now)), Retry::After(_)));
                    }
                }
                5 => {
                    let due = post.due(Instant(now));
                    for (name, number, _) in due {
                        if name == names[who] {
                            got[who].push(number);
                            // Delivered, and dies before it is noted.
                        }
                    }
                    post = serde_json::from_str(&kept).unwrap();
                    post.serves(names.iter().map(ToString::to_string));
                    for (name, next, lost) in &places {
                        post.has_come_to(name, *next, *lost);
                    }
                }
                _ => {}
            }
        }
        for got in &got {
            let mut distinct = got.clone();
            distinct.dedup();
            prop_assert_eq!(&distinct, &(0..added).collect::<Vec<_>>(), "{:?}", got);
        }
        prop_assert!(post.is_empty() && post.places().all(|(_, _, lost)| lost == 0));
    }
}
