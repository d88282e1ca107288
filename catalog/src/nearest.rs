/// The one of some names that a misspelt word was most likely meant to be, if any is close.
///
/// Close is at most a third of the word's letters inserted, dropped, replaced or swapped with their neighbour; a
/// difference in case alone always counts as close. A single letter is close to nothing else, and `output` is not a misspelt
/// `input`. Of equally close names one that the word begins, or that begins the word, wins, then the first. Where none is close,
/// one whose beginning the word is will do: `prod` for `production`.
pub fn nearest<'a>(word: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    let limit = if length == 1 { 0 } else { (length / 3).clamp(1, 4) };
    let text = word.to_lowercase();
    let word: Vec<char> = text.chars().collect();
    let mut lower: Vec<char> = Vec::new();
    let mut best: Option<(usize, bool, &str)> = None;
    let mut longer = Longer::None;
    for name in among {
        if length >= SHORTEST_BEGINNING && begins(&text, name) && name.len() > text.len() {
            longer = longer.and(name);
        }
        // Of two that are equally close the second may be the better one.
        let bound = best.map_or(limit + 1, |(distance, begins, _)| distance + usize::from(!begins));
        lower.clear();
        match name.is_ascii() {
            true if name.len().abs_diff(word.len()) >= bound => continue,
            true => lower.extend(name.bytes().map(|byte| char::from(byte.to_ascii_lowercase()))),
            false => lower.extend(name.chars().flat_map(char::to_lowercase)),
        }
        let distance = distance(&word, &lower, bound);
        if distance >= bound || is_opposite(&word, &lower) {
            continue;
        }
        let begins = lower.starts_with(&word) || word.starts_with(&lower);
        if begins || best.is_none_or(|(known, ..)| distance < known) {
            best = Some((distance, begins, name));
        }
    }
    match (best, longer) {
        (Some((.., name)), _) | (None, Longer::One(name)) => Some(name),
        _ => None,
    }
}

/// From how many letters on a word may be meant as the beginning of a name.
const SHORTEST_BEGINNING: usize = 3;

/// The names that a word begins, as far as it matters.
enum Longer<'a> {
    None,
    One(&'a str),
    Several,
}

impl<'a> Longer<'a> {
    fn and(self, name: &'a str) -> Longer<'a> {
        match self {
            Longer::None => Longer::One(name),
            Longer::One(known) if known == name => self,
            _ => Longer::Several,
        }
    }
}

/// Whether a name begins with a word in lower case, whatever its own case.
fn begins(word: &str, name: &str) -> bool {
    name.get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// Words that are close in letters and contrary in meaning: whoever wrote one has not meant the other.
const OPPOSITES: [(&str, &str); 3] = [("in", "out"), ("min", "max"), ("source", "target")];

fn is_opposite(word: &[char], name: &[char]) -> bool {
    let replaced = |from: &str, to: &str| {
        let from: Vec<char> = from.chars().collect();
        let to = to.chars();
        let mut places = word.windows(from.len()).enumerate();
        places.any(|(at, window)| {
            let rest = &word[at + from.len()..];
            window == from
                && word[..at]
                    .iter()
                    .copied()
                    .chain(to.clone())
                    .chain(rest.iter().copied())
                    .eq(name.iter().copied())
        })
    };
    OPPOSITES.iter().any(|(a, b)| replaced(a, b) || replaced(b, a))
}

/// The number of edits between two words, counted up to `bound`.
///
/// A mistake may be made twenty thousand times, and each time there are some thousand names: only what may differ is compared.
fn distance(a: &[char], b: &[char], bound: usize) -> usize {
    if a.len().abs_diff(b.len()) >= bound {
        return bound;
    }
    let alike = |pairs: &mut dyn Iterator<Item = (&char, &char)>| pairs.take_while(|(a, b)| a == b).count();
    let start = alike(&mut a.iter().zip(b));
    let (a, b) = (&a[start..], &b[start..]);
    let end = alike(&mut a.iter().rev().zip(b.iter().rev()));
    let (a, b) = (&a[..a.len() - end], &b[..b.len() - end]);
    let mut before: Vec<usize> = vec![bound; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut row: Vec<usize> = vec![bound; b.len() + 1];
    for i in 1..=a.len() {
        // Further from the diagonal there are more edits than are counted.
        let near = i.saturating_sub(bound).max(1)..=(i + bound).min(b.len());
        row.fill(bound);
        row[0] = i;
        let mut least = i;
        for j in near {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
            least = least.min(row[j]);
        }
        if least >= bound {
            return bound;
        }
        std::mem::swap(&mut before, &mut last);
        std::mem::swap(&mut last, &mut row);
    }
    last[b.len()].min(bound)
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[track_caller]
    fn check(word: &str, among: &[&str], expected: Option<&str>) {
        assert_eq!(nearest(word, among.iter().copied()), expected);
    }

    #[test]
    fn finds_the_closest_name_and_nothing_far_away() {
        check(
            "replcias",
            &["replicas", "selector", "template"],
            Some("replicas"),
        );
        check("bucketname", &["BucketName", "BucketKey"], Some("BucketName"));
        check("s3-laek", &["s3-lake", "stream"], Some("s3-lake"));
        check("zone", &["time", "type"], None);
        check("x", &[], None);
        check("ab", &["abc", "abd"], Some("abc"));
        check("Buckett", &["Buckets", "Bucket"], Some("Bucket"));
        check("gpu", &["cpu", "gpus"], Some("gpus"));
        check("Kind", &["bind", "kind"], Some("kind"));
    }

    #[test]
    fn a_beginning_is_enough_where_it_is_the_beginning_of_one_name() {
        check("prod", &["development", "production"], Some("production"));
        check("int", &["string", "integer"], Some("integer"));
        check("data", &["dataset", "database"], None);
        check("pr", &["production"], None);
    }

    #[test]
    fn one_letter_and_the_opposite_are_no_misspelling() {
        check("f", &["x"], None);
        check("F", &["x", "f"], Some("f"));
        check("outputPath", &["inputPath"], None);
        check("max_size", &["min_size"], None);
        check("min_sise", &["min_size"], Some("min_size"));
    }

    /// Every edit of every word is found, and counted as a table of all pairs of beginnings counts it.
    #[test]
    fn nothing_is_lost_by_comparing_less() {
        fn whole(a: &[char], b: &[char]) -> usize {
            let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
            for i in 0..=a.len() {
                for j in 0..=b.len() {
                    table[i][j] = match (i, j) {
                        (0, n) | (n, 0) => n,
                        _ => {
                            let same = usize::from(a[i - 1] != b[j - 1]);
                            let mut least = table[i - 1][j - 1] + same;
                            least = least.min(table[i - 1][j] + 1).min(table[i][j - 1] + 1);
                            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                                least = least.min(table[i - 2][j - 2] + 1);
                            }
                            least
                        }
                    };
                }
            }
            table[a.len()][b.len()]
        }
        let words: Vec<Vec<char>> = (0..3_usize.pow(6))
            .map(|number| {
                let letter = |at: u32| ['a', 'b', 'c'][number / 3_usize.pow(at) % 3];
                (0..1 + number as u32 % 6).map(letter).collect()
            })
            .collect();
        for a in words.iter().step_by(7) {
            for b in &words {
                for bound in 1..=5 {
                    assert_eq!(distance(a, b, bound), whole(a, b).min(bound), "{a:?} {b:?}");
                }
            }
        }
    }
}
