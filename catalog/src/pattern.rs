//! Matches the regular expressions of the schemas.
//!
//! The expressions are written for Java and JavaScript. A tenth of them use lookahead, lookbehind or Unicode categories. The
//! small regex crates do not support these, and the full ones take longer to compile an expression than the rest of a
//! validation takes. The schemas need neither captures nor backreferences, so a small backtracking machine is enough. It
//! records failed states and does not try them again, so the time is at most proportional to pattern size times text size.

mod parse;
mod set;

use std::fmt;
use std::sync::OnceLock;

use set::Set;

/// A regular expression of a schema, compiled on first use.
#[derive(Clone)]
pub struct Pattern<'a> {
    text: &'a str,
    program: OnceLock<Option<Program>>,
}

impl<'a> Pattern<'a> {
    /// Creates a pattern from the schema's text.
    pub fn new(text: &'a str) -> Pattern<'a> {
        Pattern {
            text,
            program: OnceLock::new(),
        }
    }

    /// Returns the schema's text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Returns whether the machine supports the pattern.
    pub fn is_supported(&self) -> bool {
        self.program().is_some()
    }

    /// Returns whether the pattern matches anywhere in the text, or where its anchors require. An unsupported pattern matches
    /// every text.
    pub fn matches(&self, text: &str) -> bool {
        self.program().is_none_or(|program| program.matches(text))
    }

    fn program(&self) -> Option<&Program> {
        self.program.get_or_init(|| parse::program(self.text)).as_ref()
    }
}

impl fmt::Debug for Pattern<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.text)
    }
}

/// An instruction of the machine.
#[derive(Clone, Debug)]
enum Step {
    /// Matches one character.
    Char(char),
    /// Matches one character of a set.
    Set(u32),
    /// Matches between `least` and `most` characters of a set. `alone` means that the next instruction cannot match a
    /// character of the set, so that backtracking is useless.
    Repeat {
        set: u32,
        least: u32,
        most: u32,
        lazy: bool,
        alone: bool,
    },
    /// Continues at the first instruction, and at the second if that fails.
    Fork(u32, u32),
    /// Continues at an instruction.
    Jump(u32),
    /// Matches the beginning of the text.
    Start,
    /// Matches the end of the text.
    End,
    /// Matches a word boundary, or with `false` any other position.
    Boundary(bool),
    /// Tests the following instructions, up to a `Match`, from this position (`ahead`) or up to it. Then continues at `next`.
    Look { ahead: bool, negated: bool, next: u32 },
    /// Ends with success.
    Match,
}

/// A compiled expression.
#[derive(Clone, Debug)]
struct Program {
    steps: Vec<Step>,
    sets: Vec<Set>,
    anchored: bool,
}

/// The state to continue from after a failure.
enum Retry {
    At {
        step: u32,
        place: usize,
    },
    /// A repetition that can release characters down to `least` or, if it is lazy, match more up to `most`.
    Less {
        step: u32,
        place: usize,
        least: usize,
    },
    More {
        step: u32,
        place: usize,
        left: u32,
    },
}

/// The number of attempts before failed states are recorded. Most texts need far fewer attempts.
const PATIENCE: u32 = 500;

struct Machine<'p> {
    program: &'p Program,
    text: &'p str,
    attempts: u32,
    /// The failed states, as bits indexed by instruction and position.
    failed: Vec<u64>,
}

impl Program {
    fn matches(&self, text: &str) -> bool {
        let mut machine = Machine {
            program: self,
            text,
            attempts: 0,
            failed: Vec::new(),
        };
        if self.anchored {
            return machine.run(0, 0, None);
        }
        let mut places = text.char_indices().map(|(place, _)| place).chain([text.len()]);
        places.any(|place| machine.run(0, place, None))
    }
}

impl Machine<'_> {
    /// Returns whether the program matches from an instruction and a position. With `end`, the match must end exactly there.
    fn run(&mut self, step: u32, place: usize, end: Option<usize>) -> bool {
        let mut retries: Vec<Retry> = Vec::new();
        let (mut step, mut place) = (step, place);
        loop {
            if self.attempt(step, &mut place, end, &mut retries) {
                match &self.program.steps[step as usize] {
                    Step::Match => return true,
                    Step::Fork(first, _) => step = *first,
                    Step::Jump(to) => step = *to,
                    Step::Look { next, .. } => step = *next,
                    _ => step += 1,
                }
                continue;
            }
            match self.retry(&mut retries) {
                Some(next) => (step, place) = next,
                None => return false,
            }
        }
    }

    /// Executes one instruction and returns whether it matched.
    fn attempt(
        &mut self,
        step: u32,
        place: &mut usize,
        end: Option<usize>,
        retries: &mut Vec<Retry>,
    ) -> bool {
        self.attempts += 1;
        if self.attempts > PATIENCE && !self.first_time(step, *place) {
            return false;
        }
        match &self.program.steps[step as usize] {
            Step::Char(char) => match self.next(*place) {
                Some((next, after)) if next == *char => {
                    *place = after;
                    true
                }
                _ => false,
            },
            Step::Set(set) => match self.next(*place) {
                Some((next, after)) if self.set(*set).contains(next) => {
                    *place = after;
                    true
                }
                _ => false,
            },
            Step::Repeat {
                set,
                least,
                most,
                lazy,
                alone,
            } => {
                let (start, mut count, mut floor) = (*place, 0, *place);
                let limit = if *lazy { *least } else { *most };
                while count < limit {
                    match self.next(*place) {
                        Some((next, after)) if self.set(*set).contains(next) => *place = after,
                        _ => break,
                    }
                    count += 1;
                    if count == *least {
                        floor = *place;
                    }
                }
                if count < *least {
                    return false;
                }
                if *least == 0 {
                    floor = start;
                }
                if *lazy {
                    retries.push(Retry::More {
                        step,
                        place: *place,
                        left: most - least,
                    });
                } else if !alone && *place > floor {
                    retries.push(Retry::Less {
                        step: step + 1,
                        place: *place,
                        least: floor,
                    });
                }
                true
            }
            Step::Fork(_, second) => {
                retries.push(Retry::At {
                    step: *second,
                    place: *place,
                });
                true
            }
            Step::Jump(_) => true,
            Step::Start => *place == 0,
            Step::End => *place == self.text.len(),
            Step::Boundary(wanted) => {
                let word = |char: Option<char>| char.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
                let before = word(self.text[..*place].chars().next_back());
                (before != word(self.text[*place..].chars().next())) == *wanted
            }
            Step::Look { ahead, negated, .. } => {
                let found = if *ahead {
                    self.look(step + 1, *place, None)
                } else {
                    let starts = self.text[..*place].char_indices().map(|(at, _)| at);
                    let starts: Vec<usize> = starts.chain([*place]).collect();
                    starts
                        .into_iter()
                        .any(|start| self.look(step + 1, start, Some(*place)))
                };
                found != *negated
            }
            Step::Match => end.is_none_or(|end| *place == end),
        }
    }

    /// Runs a lookaround on its own machine, because its failures are not failures of the surrounding pattern.
    fn look(&mut self, step: u32, place: usize, end: Option<usize>) -> bool {
        let mut inner = Machine {
            program: self.program,
            text: self.text,
            attempts: 0,
            failed: Vec::new(),
        };
        inner.run(step, place, end)
    }

    fn retry(&mut self, retries: &mut Vec<Retry>) -> Option<(u32, usize)> {
        match retries.pop()? {
            Retry::At { step, place } => Some((step, place)),
            Retry::Less { step, place, least } => {
                let before = self.text[..place].char_indices().next_back()?.0;
                if before > least {
                    retries.push(Retry::Less {
                        step,
                        place: before,
                        least,
                    });
                }
                Some((step, before))
            }
            Retry::More { step, place, left } => {
                let Step::Repeat { set, .. } = &self.program.steps[step as usize] else {
                    return None;
                };
                match self.next(place) {
                    Some((next, after)) if left > 0 && self.set(*set).contains(next) => {
                        retries.push(Retry::More {
                            step,
                            place: after,
                            left: left - 1,
                        });
                        Some((step + 1, after))
                    }
                    _ => self.retry(retries),
                }
            }
        }
    }

    fn first_time(&mut self, step: u32, place: usize) -> bool {
        let width = self.text.len() + 1;
        if self.failed.is_empty() {
            self.failed = vec![0; (self.program.steps.len() * width).div_ceil(64)];
        }
        let bit = step as usize * width + place;
        let (word, mask) = (&mut self.failed[bit / 64], 1 << (bit % 64));
        let first = *word & mask == 0;
        *word |= mask;
        first
    }

    fn set(&self, index: u32) -> &Set {
        &self.program.sets[index as usize]
    }

    #[inline]
    fn next(&self, place: usize) -> Option<(char, usize)> {
        let byte = *self.text.as_bytes().get(place)?;
        if byte < 128 {
            return Some((char::from(byte), place + 1));
        }
        let char = self.text[place..].chars().next()?;
        Some((char, place + char.len_utf8()))
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], other: &[&str]) {
        let pattern = Pattern::new(pattern);
        assert!(pattern.is_supported(), "{pattern:?}");
        for text in matching {
            assert!(pattern.matches(text), "{pattern:?} should match {text:?}");
        }
        for text in other {
            assert!(!pattern.matches(text), "{pattern:?} should not match {text:?}");
        }
    }

    #[test]
    fn matches_as_java_and_javascript_do() {
        check("^[a-zA-Z0-9_-]{1,4}$", &["a", "a-_9"], &["", "abcde", "a b"]);
        check("^(?!aws:)[a-z:]+$", &["team", "aw:s"], &["aws:team"]);
        check("^[0-9a-z.]*(?<!\\.)$", &["a.b", ""], &["a."]);
        check(
            "^([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*)$",
            &["Größe 5", "a/b", ""],
            &["a#b", "tab\t"],
        );
        check("abc", &["xabcx"], &["ab"]);
        check("^a|b$", &["ax", "xb"], &["xa", "bx"]);
        check(
            "^(https|s3)://([^/]+)/?(.*)$",
            &["s3://a/b", "https://a"],
            &["http://a", "s3:///"],
        );
        check("^[a-z](-*[a-z0-9])*$", &["a-b--c"], &["a-", "-a"]);
        check(
            "^#[A-F0-9]{6}(?:[A-F0-9]{2})?$",
            &["#00FF00", "#00FF0011"],
            &["#00FF001"],
        );
        check("^[\\w+=,.@-]+$", &["a+b@c-d"], &["a b"]);
        check("^[\\p{Print}&&[^|:/]]+$", &["a b"], &["a|b"]);
        check("(?i)^ABC$", &["abc", "aBc"], &["abd"]);
        check("^\\u0041\\x42\\t?$", &["AB", "AB\t"], &["A"]);
        check("^[^\\u0000-\\u001F\\u007F]+$", &["a"], &["a\u{1f}"]);
        check("^.{2,3}?x$", &["abx", "abcx"], &["ax", "abcdx"]);
        check("^(?:a|ab)(?:c|bcd)$", &["ac", "abcd", "abc"], &["ab"]);
        check("\\bcat\\b", &["a cat"], &["cats"]);
        check("^(a*)*$", &["", "aaaa"], &["b"]);
        check("^[\\]a]+$", &["]a"], &["b"]);
        check("^$|^x$", &["", "x"], &["y"]);
        check("^a{,3}$", &["", "aaa"], &["aaaa"]);
    }

    #[test]
    fn nested_repetitions_do_not_take_exponential_time() {
        let text = format!("{}!", "a".repeat(1500));
        check("^(a+)+$", &["aaa"], &[&text]);
        check("^(\\w+[-]*)*$", &["a-b"], &[&text]);
        check("^(?=(a+)+$)a*$", &["aa"], &[&text]);
    }
}
