//! Compiles the text of a regular expression to instructions.

use super::set::{Category, Set};
use super::{Program, Step};

/// The maximum number of instructions of a pattern after its repetitions are expanded.
const MOST_STEPS: usize = 100_000;

/// Compiles a pattern. Returns `None` for unsupported features: backreferences, atomic groups, unknown categories.
pub(super) fn program(pattern: &str) -> Option<Program> {
    let mut parser = Parser {
        rest: pattern,
        ignore_case: false,
        dot_all: false,
    };
    let tree = parser.alternatives()?;
    if !parser.rest.is_empty() {
        return None;
    }
    let mut writer = Writer {
        steps: Vec::new(),
        sets: Vec::new(),
    };
    writer.write(&tree)?;
    writer.steps.push(Step::Match);
    let Writer { mut steps, sets } = writer;
    settle(&mut steps, &sets);
    let anchored = matches!(steps.first(), Some(Step::Start));
    Some(Program {
        steps,
        sets,
        anchored,
    })
}

#[derive(Clone, Debug)]
enum Tree {
    Empty,
    Set(Set),
    Char(char),
    Start,
    End,
    Boundary(bool),
    Sequence(Vec<Tree>),
    Either(Vec<Tree>),
    Repeat {
        tree: Box<Tree>,
        least: u32,
        most: u32,
        lazy: bool,
    },
    Look {
        tree: Box<Tree>,
        ahead: bool,
        negated: bool,
    },
}

struct Parser<'p> {
    rest: &'p str,
    ignore_case: bool,
    dot_all: bool,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.rest = &self.rest[next.len_utf8()..];
        Some(next)
    }

    fn take(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn alternatives(&mut self) -> Option<Tree> {
        let mut branches = vec![self.sequence()?];
        while self.take("|") {
            branches.push(self.sequence()?);
        }
        Some(if branches.len() == 1 {
            branches.remove(0)
        } else {
            Tree::Either(branches)
        })
    }

    fn sequence(&mut self) -> Option<Tree> {
        let mut items = Vec::new();
        while let Some(next) = self.peek() {
            if next == '|' || next == ')' {
                break;
            }
            let item = self.item()?;
            items.push(self.repeated(item)?);
        }
        Some(match items.len() {
            0 => Tree::Empty,
            1 => items.remove(0),
            _ => Tree::Sequence(items),
        })
    }

    fn item(&mut self) -> Option<Tree> {
        match self.next()? {
            '.' => Some(Tree::Set(if self.dot_all { Set::all() } else { Set::line() })),
            '^' => Some(Tree::Start),
            '$' => Some(Tree::End),
            '[' => self.set().map(|set| self.cased(set)),
            '(' => self.group(),
            '\\' => self.escape(),
            '*' | '+' | '?' => None,
            other => Some(self.char(other)),
        }
    }

    fn char(&self, char: char) -> Tree {
        if self.ignore_case && char.is_ascii_alphabetic() {
            self.cased(Set::range(char, char))
        } else {
            Tree::Char(char)
        }
    }

    fn cased(&self, set: Set) -> Tree {
        Tree::Set(if self.ignore_case { set.without_case() } else { set })
    }

    fn repeated(&mut self, tree: Tree) -> Option<Tree> {
        let mut tree = tree;
        loop {
            let (least, most) = if self.take("*") {
                (0, u32::MAX)
            } else if self.take("+") {
                (1, u32::MAX)
            } else if self.take("?") {
                (0, 1)
            } else {
                match self.bounds() {
                    Some(bounds) => bounds,
                    None => return Some(tree),
                }
            };
            if least > most {
                return None;
            }
            let lazy = self.take("?");
            // The repetition is possessive in Java. Treating it as greedy accepts at least the same texts.
            self.take("+");
            tree = Tree::Repeat {
                tree: Box::new(tree),
                least,
                most,
                lazy,
            };
        }
    }

    /// Parses `{2}`, `{2,}`, `{2,5}`, and `{,5}` with its meaning in Python. Any other brace is a literal character.
    fn bounds(&mut self) -> Option<(u32, u32)> {
        let inside = self.rest.strip_prefix('{')?;
        let (inside, rest) = inside.split_once('}')?;
        let bounds = match inside.split_once(',') {
            None => inside.parse().map(|count| (count, count)).ok()?,
            Some(("", most)) => (0, most.parse().ok()?),
            Some((least, "")) => (least.parse().ok()?, u32::MAX),
            Some((least, most)) => (least.parse().ok()?, most.parse().ok()?),
        };
        self.rest = rest;
        Some(bounds)
    }

    fn group(&mut self) -> Option<Tree> {
        let (ignore_case, dot_all) = (self.ignore_case, self.dot_all);
        let mut look = None;
        if self.take("?") {
            for (text, ahead, negated) in [
                ("=", true, false),
                ("!", true, true),
                ("<=", false, false),
                ("<!", false, true),
            ] {
                if look.is_none() && self.take(text) {
                    look = Some((ahead, negated));
                }
            }
            if look.is_none() && self.take("<") {
                // The name of a group is ignored, because nothing refers to it.
                let (_, rest) = self.rest.split_once('>')?;
                self.rest = rest;
            } else if look.is_none() {
                loop {
                    match self.next()? {
                        ':' => break,
                        'i' => self.ignore_case = true,
                        's' => self.dot_all = true,
                        // These flags apply to the rest of the enclosing group.
                        ')' => return Some(Tree::Empty),
                        _ => return None,
                    }
                }
            }
        }
        let tree = self.alternatives()?;
        (self.ignore_case, self.dot_all) = (ignore_case, dot_all);
        if !self.take(")") {
            return None;
        }
        Some(match look {
            Some((ahead, negated)) => Tree::Look {
                tree: Box::new(tree),
                ahead,
                negated,
            },
            None => tree,
        })
    }

    fn escape(&mut self) -> Option<Tree> {
        let boundary = match self.peek()? {
            'b' => Some(Tree::Boundary(true)),
            'B' => Some(Tree::Boundary(false)),
            'A' => Some(Tree::Start),
            'z' | 'Z' => Some(Tree::End),
            _ => None,
        };
        if let Some(boundary) = boundary {
            self.next();
            return Some(boundary);
        }
        match self.escaped()? {
            EscapedCharacter::Char(char) => Some(self.char(char)),
            EscapedCharacter::Set(set) => Some(self.cased(set)),
        }
    }

    /// Parses the characters after a backslash, inside or outside a set.
    fn escaped(&mut self) -> Option<EscapedCharacter> {
        Some(match self.next()? {
            'd' => EscapedCharacter::Set(Set::digits()),
            'D' => EscapedCharacter::Set(Set::digits().negated()),
            'w' => EscapedCharacter::Set(Set::word()),
            'W' => EscapedCharacter::Set(Set::word().negated()),
            's' => EscapedCharacter::Set(Set::space()),
            'S' => EscapedCharacter::Set(Set::space().negated()),
            'h' => EscapedCharacter::Set(Set::range(' ', ' ').with(Set::range('\t', '\t'))),
            letter @ ('p' | 'P') => {
                let set = Set::category(self.category()?);
                EscapedCharacter::Set(if letter == 'P' { set.negated() } else { set })
            }
            't' => EscapedCharacter::Char('\t'),
            'n' => EscapedCharacter::Char('\n'),
            'r' => EscapedCharacter::Char('\r'),
            'f' => EscapedCharacter::Char('\u{c}'),
            'v' => EscapedCharacter::Char('\u{b}'),
            '0' => EscapedCharacter::Char('\0'),
            'x' if self.rest.starts_with('{') => {
                let (digits, rest) = self.rest[1..].split_once('}')?;
                self.rest = rest;
                code(u32::from_str_radix(digits, 16).ok()?)
            }
            'x' => self.code(2)?,
            'u' => self.code(4)?,
            other if other.is_ascii_alphanumeric() => return None,
            other => EscapedCharacter::Char(other),
        })
    }

    fn category(&mut self) -> Option<Category> {
        if self.take("{") {
            let (name, rest) = self.rest.split_once('}')?;
            self.rest = rest;
            return Category::named(name);
        }
        let letter = self.next()?;
        Category::named(letter.encode_utf8(&mut [0; 4]))
    }

    fn code(&mut self, digits: usize) -> Option<EscapedCharacter> {
        let (hexadecimal, rest) = self.rest.split_at_checked(digits)?;
        self.rest = rest;
        Some(code(u32::from_str_radix(hexadecimal, 16).ok()?))
    }

    /// Parses a set, after its `[`.
    fn set(&mut self) -> Option<Set> {
        let negated = self.take("^");
        let mut set = Set::default();
        let mut limits: Vec<Set> = Vec::new();
        let mut first = true;
        loop {
            if !first && self.take("]") {
                break;
            }
            first = false;
            if self.take("&&") {
                let limit = if self.take("[") {
                    self.set()?
                } else {
                    // The rest of the set is parsed as a set that limits this one.
                    let limit = self.set()?;
                    limits.push(limit);
                    break;
                };
                limits.push(limit);
                continue;
            }
            let from = match self.set_item()? {
                EscapedCharacter::Char(char) => char,
                EscapedCharacter::Set(more) => {
                    set = set.with(more);
                    continue;
                }
            };
            let is_range = self.rest.starts_with('-') && !self.rest.starts_with("-]");
            if !is_range {
                set = set.with(Set::range(from, from));
                continue;
            }
            self.take("-");
            match self.set_item()? {
                EscapedCharacter::Char(to) if from <= to => set = set.with(Set::range(from, to)),
                EscapedCharacter::Char(_) => return None,
                EscapedCharacter::Set(more) => {
                    set = set
                        .with(Set::range(from, from))
                        .with(Set::range('-', '-'))
                        .with(more);
                }
            }
        }
        let set = limits.into_iter().fold(set, Set::and);
        Some(if negated { set.negated() } else { set })
    }

    fn set_item(&mut self) -> Option<EscapedCharacter> {
        if self.rest.starts_with("[:") {
            return None;
        }
        match self.next()? {
            '\\' if self.take("b") => Some(EscapedCharacter::Char('\u{8}')),
            '\\' => self.escaped(),
            other => Some(EscapedCharacter::Char(other)),
        }
    }
}

enum EscapedCharacter {
    Char(char),
    Set(Set),
}

/// Converts a code unit. Half a surrogate pair matches all characters beyond U+FFFF.
fn code(code: u32) -> EscapedCharacter {
    match char::from_u32(code) {
        Some(char) => EscapedCharacter::Char(char),
        None => EscapedCharacter::Set(Set::range('\u{10000}', char::MAX)),
    }
}

struct Writer {
    steps: Vec<Step>,
    sets: Vec<Set>,
}

impl Writer {
    fn add(&mut self, set: &Set) -> u32 {
        let at = self
            .sets
            .iter()
            .position(|known| known == set)
            .unwrap_or_else(|| {
                self.sets.push(set.clone());
                self.sets.len() - 1
            });
        at as u32
    }

    fn here(&self) -> u32 {
        self.steps.len() as u32
    }

    fn write(&mut self, tree: &Tree) -> Option<()> {
        if self.steps.len() > MOST_STEPS {
            return None;
        }
        match tree {
            Tree::Empty => {}
            Tree::Char(char) => self.steps.push(Step::Char(*char)),
            Tree::Set(set) => {
                let set = self.add(set);
                self.steps.push(Step::Set(set));
            }
            Tree::Start => self.steps.push(Step::Start),
            Tree::End => self.steps.push(Step::End),
            Tree::Boundary(wanted) => self.steps.push(Step::Boundary(*wanted)),
            Tree::Sequence(items) => {
                for item in items {
                    self.write(item)?;
                }
            }
            Tree::Either(branches) => self.either(branches)?,
            Tree::Look { tree, ahead, negated } => {
                let at = self.steps.len();
                self.steps.push(Step::Match);
                self.write(tree)?;
                self.steps.push(Step::Match);
                self.steps[at] = Step::Look {
                    ahead: *ahead,
                    negated: *negated,
                    next: self.here(),
                };
            }
            Tree::Repeat {
                tree,
                least,
                most,
                lazy,
            } => self.repeat(tree, *least, *most, *lazy)?,
        }
        Some(())
    }

    fn either(&mut self, branches: &[Tree]) -> Option<()> {
        let mut jumps = Vec::new();
        for (index, branch) in branches.iter().enumerate() {
            let is_last = index + 1 == branches.len();
            let fork = self.steps.len();
            if !is_last {
                self.steps.push(Step::Match);
            }
            self.write(branch)?;
            if !is_last {
                jumps.push(self.steps.len());
                self.steps.push(Step::Match);
                self.steps[fork] = Step::Fork(fork as u32 + 1, self.here());
            }
        }
        for jump in jumps {
            self.steps[jump] = Step::Jump(self.here());
        }
        Some(())
    }

    fn repeat(&mut self, tree: &Tree, least: u32, most: u32, lazy: bool) -> Option<()> {
        let set = match tree {
            Tree::Set(set) => Some(set.clone()),
            Tree::Char(char) => Some(Set::range(*char, *char)),
            _ => None,
        };
        if let Some(set) = set {
            let set = self.add(&set);
            self.steps.push(Step::Repeat {
                set,
                least,
                most,
                lazy,
                alone: false,
            });
            return Some(());
        }
        for _ in 0..least {
            self.write(tree)?;
        }
        let fork = |first: u32, second: u32| {
            if lazy {
                Step::Fork(second, first)
            } else {
                Step::Fork(first, second)
            }
        };
        if most == u32::MAX {
            let at = self.steps.len();
            self.steps.push(Step::Match);
            self.write(tree)?;
            self.steps.push(Step::Jump(at as u32));
            self.steps[at] = fork(at as u32 + 1, self.here());
            return Some(());
        }
        let mut forks = Vec::new();
        for _ in least..most {
            forks.push(self.steps.len());
            self.steps.push(Step::Match);
            self.write(tree)?;
        }
        for at in forks {
            self.steps[at] = fork(at as u32 + 1, self.here());
        }
        Some(())
    }
}

/// Marks the repetitions that never need to backtrack.
fn settle(steps: &mut [Step], sets: &[Set]) {
    // A lookbehind must end at its position, so its repetitions may have to backtrack.
    let looks_behind = steps
        .iter()
        .any(|step| matches!(step, Step::Look { ahead: false, .. }));
    for index in 0..steps.len() {
        let Step::Repeat { set, lazy: false, .. } = steps[index] else {
            continue;
        };
        let apart = is_apart(steps, sets, &sets[set as usize], index + 1, looks_behind, 0);
        if let Step::Repeat { alone, .. } = &mut steps[index] {
            *alone = apart;
        }
    }
}

fn is_apart(steps: &[Step], sets: &[Set], set: &Set, at: usize, looks_behind: bool, depth: u32) -> bool {
    let on = |at: u32| depth < 8 && is_apart(steps, sets, set, at as usize, looks_behind, depth + 1);
    match &steps[at] {
        Step::End => true,
        Step::Match => !looks_behind,
        Step::Char(char) => !set.contains(*char),
        Step::Set(next) => set.is_apart_from(&sets[*next as usize]),
        Step::Repeat { set: next, least, .. } => {
            set.is_apart_from(&sets[*next as usize]) && (*least > 0 || on(at as u32 + 1))
        }
        Step::Fork(first, second) => on(*first) && on(*second),
        Step::Jump(to) => on(*to),
        Step::Start | Step::Boundary(_) | Step::Look { .. } => false,
    }
}
