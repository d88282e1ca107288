/// A set of characters: a bit for each ASCII character, and rules for all others.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Set {
    ascii: u128,
    other: Other,
}

/// The characters beyond ASCII.
#[derive(Clone, PartialEq, Debug, Default)]
enum Other {
    #[default]
    None,
    All,
    Ranges(Vec<(char, char)>),
    Category(Category),
    Not(Box<Other>),
    Any(Vec<Other>),
    Both(Box<(Other, Other)>),
}

/// The Unicode categories, as far as the standard library supports them. Marks, symbols and punctuation beyond ASCII cannot
/// be distinguished: a pattern for one of them accepts all.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Category {
    Letter,
    Upper,
    Lower,
    Number,
    Separator,
    Space,
    Control,
    Mark,
    Symbol,
    Punctuation,
    Printable,
    Ascii,
}

impl Category {
    pub(super) fn named(name: &str) -> Option<Category> {
        Some(match name {
            "L" | "Alpha" | "IsAlphabetic" | "Letter" => Category::Letter,
            "Lu" | "Upper" => Category::Upper,
            "Ll" | "Lower" => Category::Lower,
            "N" | "Nd" | "Digit" | "IsDigit" => Category::Number,
            "Z" | "Zs" => Category::Separator,
            "Space" => Category::Space,
            "C" | "Cc" | "Cntrl" => Category::Control,
            "M" | "Mn" | "Mc" | "Cf" => Category::Mark,
            "S" | "Sc" | "Sm" => Category::Symbol,
            "P" | "Pd" | "Punct" | "IsPunctuation" => Category::Punctuation,
            "Print" | "Graph" => Category::Printable,
            "ASCII" => Category::Ascii,
            _ => return None,
        })
    }

    fn contains(self, c: char) -> bool {
        const SYMBOLS: &str = "$+<=>^`|~";
        let rest = !c.is_ascii() && !c.is_alphanumeric() && !c.is_whitespace() && !c.is_control();
        match self {
            Category::Letter => c.is_alphabetic(),
            Category::Upper => c.is_uppercase(),
            Category::Lower => c.is_lowercase(),
            Category::Number => c.is_numeric(),
            Category::Separator => c.is_whitespace() && !c.is_control(),
            Category::Space => c.is_whitespace(),
            Category::Control => c.is_control(),
            Category::Mark => rest,
            Category::Symbol => rest || SYMBOLS.contains(c),
            Category::Punctuation => rest || (c.is_ascii_punctuation() && !SYMBOLS.contains(c)),
            Category::Printable => !c.is_control(),
            Category::Ascii => c.is_ascii(),
        }
    }
}

impl Set {
    pub(super) fn range(from: char, to: char) -> Set {
        let ascii = (0..128u8).filter(|byte| (from..=to).contains(&char::from(*byte)));
        Set {
            ascii: ascii.fold(0, |bits, byte| bits | 1 << byte),
            other: if to.is_ascii() {
                Other::None
            } else {
                Other::Ranges(vec![(from, to)])
            },
        }
    }

    pub(super) fn category(category: Category) -> Set {
        let ascii = (0..128u8).filter(|byte| category.contains(char::from(*byte)));
        Set {
            ascii: ascii.fold(0, |bits, byte| bits | 1 << byte),
            other: Other::Category(category),
        }
    }

    /// Returns the set of `.`: every character except line ends.
    pub(super) fn line() -> Set {
        Set {
            ascii: !(1 << 10 | 1 << 13),
            other: Other::All,
        }
    }

    pub(super) fn all() -> Set {
        Set {
            ascii: !0,
            other: Other::All,
        }
    }

    pub(super) fn digits() -> Set {
        Set::range('0', '9')
    }

    pub(super) fn word() -> Set {
        Set::digits()
            .with(Set::range('a', 'z'))
            .with(Set::range('A', 'Z'))
            .with(Set::range('_', '_'))
    }

    pub(super) fn space() -> Set {
        Set::category(Category::Space)
    }

    pub(super) fn with(self, set: Set) -> Set {
        let other = match (self.other, set.other) {
            (Other::None, other) | (other, Other::None) => other,
            (Other::All, _) | (_, Other::All) => Other::All,
            (Other::Any(mut list), other) => {
                list.push(other);
                Other::Any(list)
            }
            (a, b) => Other::Any(vec![a, b]),
        };
        Set {
            ascii: self.ascii | set.ascii,
            other,
        }
    }

    pub(super) fn and(self, set: Set) -> Set {
        let other = match (self.other, set.other) {
            (Other::None, _) | (_, Other::None) => Other::None,
            (Other::All, other) | (other, Other::All) => other,
            (a, b) => Other::Both(Box::new((a, b))),
        };
        Set {
            ascii: self.ascii & set.ascii,
            other,
        }
    }

    pub(super) fn negated(self) -> Set {
        let other = match self.other {
            Other::None => Other::All,
            Other::All => Other::None,
            other => Other::Not(Box::new(other)),
        };
        Set {
            ascii: !self.ascii,
            other,
        }
    }

    /// Adds the other case of each ASCII letter.
    pub(super) fn without_case(self) -> Set {
        const UPPER: u128 = 0x03ff_ffff << 65;
        const LOWER: u128 = UPPER << 32;
        let both = (self.ascii & UPPER) << 32 | (self.ascii & LOWER) >> 32;
        Set {
            ascii: self.ascii | both,
            other: self.other,
        }
    }

    /// Returns whether the sets are certainly disjoint. Returns `false` if both contain characters beyond ASCII.
    pub(super) fn is_apart_from(&self, set: &Set) -> bool {
        self.ascii & set.ascii == 0 && (self.other == Other::None || set.other == Other::None)
    }

    #[inline]
    pub(super) fn contains(&self, c: char) -> bool {
        if c.is_ascii() {
            self.ascii >> (c as u32) & 1 == 1
        } else {
            self.other.contains(c)
        }
    }
}

impl Other {
    fn contains(&self, c: char) -> bool {
        match self {
            Other::None => false,
            Other::All => true,
            Other::Ranges(ranges) => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)),
            Other::Category(category) => category.contains(c),
            Other::Not(other) => !other.contains(c),
            Other::Any(list) => list.iter().any(|other| other.contains(c)),
            Other::Both(both) => both.0.contains(c) && both.1.contains(c),
        }
    }
}
