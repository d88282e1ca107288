/// The name that was probably meant: the nearest of `among` by edit distance (a swap of neighbours counts one), where
/// it is near enough to be worth saying. The first of several that are as near.
pub fn nearest<'a>(word: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let limit = (word.chars().count() / 3).clamp(1, 4);
    let mut best: Option<(usize, &str)> = None;
    for name in among {
        let other = name.to_lowercase();
        if word.len().abs_diff(other.len()) > limit * 4 {
            continue;
        }
        let distance = distance(&word, &other);
        if distance <= limit && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name)
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let mut previous = '\0';
    for (i, c) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, d) in b.iter().enumerate() {
            let change = row[j] + usize::from(c != *d);
            let mut least = change.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && c == b[j - 1] && previous == *d {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        previous = c;
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn names_are_near_when_a_slip_separates_them() {
        let tiers = ["basic", "professional", "enterprise", "custom"];
        assert_eq!(nearest("profesional", tiers.into_iter()), Some("professional"));
        assert_eq!(nearest("prodution", ["production", "staging"].into_iter()), Some("production"));
        assert_eq!(nearest("paln", ["plan", "apply"].into_iter()), Some("plan"));
        assert_eq!(nearest("lake", tiers.into_iter()), None);
    }
}
