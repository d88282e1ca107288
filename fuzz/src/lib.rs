//! Mutations that preserve the structure of documents. Most results are still valid YAML with words of the language.

mod words;

use std::ops::Range;

/// Changes `data[..size]` in place and returns the new size, at most `most`.
///
/// A third of the changes are libFuzzer's changes of bytes. The others change lines (if `lines` is set), words and values.
pub fn mutate(data: &mut [u8], size: usize, most: usize, seed: u32, lines: bool) -> usize {
    let mut random = Random(u64::from(seed) | 1 << 40);
    if random.below(3) == 0 {
        return libfuzzer_sys::fuzzer_mutate(data, size, most);
    }
    let Ok(text) = std::str::from_utf8(&data[..size]) else {
        return libfuzzer_sys::fuzzer_mutate(data, size, most);
    };
    let mut text = text.to_owned();
    for _ in 0..=random.below(3) {
        text = if lines && random.below(2) == 0 {
            change_lines(&text, &mut random)
        } else {
            change_words(&text, &mut random)
        };
    }
    put(&text, data, most)
}

/// Inserts lines of the second input into the first, writes the result to `out`, and returns its size.
pub fn cross(first: &[u8], second: &[u8], out: &mut [u8], seed: u32) -> usize {
    let mut random = Random(u64::from(seed) | 1 << 40);
    let (first, second) = (String::from_utf8_lossy(first), String::from_utf8_lossy(second));
    let (mut lines, other): (Vec<&str>, Vec<&str>) = (
        first.split_inclusive('\n').collect(),
        second.split_inclusive('\n').collect(),
    );
    let taken = random.range(other.len(), 12);
    let at = random.below(lines.len() + 1);
    let end = (at + random.below(4) * random.below(2)).min(lines.len());
    lines.splice(at..end, other[taken].iter().copied());
    let most = out.len();
    put(&lines.concat(), out, most)
}

fn put(text: &str, data: &mut [u8], most: usize) -> usize {
    let size = text.len().min(most).min(data.len());
    data[..size].copy_from_slice(&text.as_bytes()[..size]);
    size
}

fn change_lines(text: &str, random: &mut Random) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return change_words(text, random);
    }
    let some = random.range(lines.len(), 6);
    let at = random.below(lines.len());
    match random.below(7) {
        0 => drop(lines.drain(some)),
        1 => {
            let copied = lines[some].to_vec();
            lines.splice(at..at, copied);
        }
        2 => lines.swap(at, some.start),
        3 => lines[some].iter_mut().for_each(|line| line.insert_str(0, "  ")),
        4 => {
            for line in &mut lines[some] {
                *line = line.strip_prefix("  ").unwrap_or(line).to_owned();
            }
        }
        5 => {
            // Insert a sibling key.
            let indent: String = lines[at].chars().take_while(|c| matches!(c, ' ' | '-')).collect();
            let indent = indent.replace('-', " ");
            lines.insert(at + 1, format!("{indent}{}: {}", random.key(), random.value()));
        }
        _ => {
            if let Some(colon) = lines[at].find(": ") {
                lines[at].truncate(colon + 2);
                lines[at].push_str(&random.value());
            }
        }
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

fn change_words(text: &str, random: &mut Random) -> String {
    let words = word_ranges(text);
    let Some(range) = words.get(random.below(words.len().max(1))).cloned() else {
        return random.value();
    };
    let mut text = text.to_owned();
    match random.below(5) {
        0 => text.replace_range(range, &random.value()),
        1 => text.replace_range(range, random.key()),
        2 => {
            // Copy another word of the same text, so that names refer to each other.
            let other = words[random.below(words.len())].clone();
            let other = text[other].to_owned();
            text.replace_range(range, &other);
        }
        3 => text.insert_str(range.end, random.operator()),
        _ => {
            let word = text[range.clone()].to_owned();
            text.replace_range(range, &random.around(&word));
        }
    }
    text
}

fn word_ranges(text: &str) -> Vec<Range<usize>> {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '$');
    let mut ranges = Vec::new();
    let mut begin = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (begin, is_word(c)) {
            (None, true) => begin = Some(at),
            (Some(start), false) => {
                ranges.push(start..at);
                begin = None;
            }
            _ => {}
        }
    }
    ranges
}

/// A random number generator with a fixed seed (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit.max(1)
    }

    fn range(&mut self, length: usize, longest: usize) -> Range<usize> {
        let start = self.below(length);
        let end = start + self.below(longest.min(length - start.min(length)) + 1);
        start..end.min(length)
    }

    fn of(&mut self, words: &[&'static str]) -> &'static str {
        words[self.below(words.len())]
    }

    fn key(&mut self) -> &'static str {
        let keys = words::keys();
        match self.below(8) {
            0 => self.of(words::STRUCTURE),
            _ => &keys[self.below(keys.len())],
        }
    }

    fn operator(&mut self) -> &'static str {
        self.of(words::OPERATORS)
    }

    fn expression(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.of(words::ATOMS).to_owned();
        }
        match self.below(6) {
            0 => format!(
                "{} {} {}",
                self.expression(depth - 1),
                self.operator(),
                self.expression(depth - 1)
            ),
            1 => {
                let filters = terrace_compiler::expression::FILTERS;
                format!(
                    "{} | {}",
                    self.expression(depth - 1),
                    filters[self.below(filters.len())].name
                )
            }
            2 => {
                let functions = terrace_compiler::expression::FUNCTIONS;
                format!(
                    "{}({})",
                    functions[self.below(functions.len())].name,
                    self.expression(depth - 1)
                )
            }
            3 => format!("[{}, {}]", self.expression(depth - 1), self.expression(depth - 1)),
            4 => format!("({})", self.expression(depth - 1)),
            _ => self.of(words::ATOMS).to_owned(),
        }
    }

    fn value(&mut self) -> String {
        match self.below(4) {
            0 => format!("\"{{{{ {} }}}}\"", self.expression(2)),
            1 => self.expression(1),
            _ => self.of(words::VALUES).to_owned(),
        }
    }

    fn around(&mut self, word: &str) -> String {
        match self.below(7) {
            0 => format!("[{word}]"),
            1 => format!("{{{word}: {}}}", self.value()),
            2 => format!("\"{{{{ {word} }}}}\""),
            3 => format!("!raw {word}"),
            4 => format!("&a {word}"),
            5 => format!("{word}{word}"),
            _ => format!("({word})"),
        }
    }
}
