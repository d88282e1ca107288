//! Reads the headings and the code blocks of a Markdown page, and writes new text into its blocks.

use std::ops::Range;

/// A code block of a page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block<'p> {
    /// The line of the opening fence, counted from 1.
    pub line: usize,
    /// The words after the opening fence: the language, and what the page adds to it.
    pub info: &'p str,
    /// The lines between the fences.
    pub text: &'p str,
    /// The position of `text` in the page, in bytes.
    pub range: Range<usize>,
    /// The opening fence. A longer fence can contain a shorter one.
    fence: &'p str,
}

impl<'p> Block<'p> {
    /// Returns the language of the block.
    pub fn language(&self) -> &'p str {
        self.info.split(' ').next().unwrap_or_default()
    }

    /// Returns the words after the language. Many pages name a file there: ```` ```yaml stacks/quickstart/production.yaml ````.
    pub fn argument(&self) -> Option<&'p str> {
        Some(self.info.split_once(' ')?.1.trim())
    }

    /// Returns whether the block is written in this language and has no further words.
    pub fn is_plain(&self, language: &str) -> bool {
        self.info == language
    }
}

/// A line outside of code blocks, or a whole code block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part<'p> {
    /// A line of prose. Its number is counted from 1.
    Line(usize, &'p str),
    /// A code block.
    Block(Block<'p>),
}

/// Splits a page into lines and code blocks. A block that is not closed extends to the end of the page.
pub fn parts(page: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut open: Option<Block<'_>> = None;
    let mut position = 0;
    for (index, line) in page.split_inclusive('\n').enumerate() {
        let trimmed = line.trim();
        let end = position + line.len();
        match &mut open {
            Some(block) if trimmed == block.fence => parts.extend(open.take().map(Part::Block)),
            Some(block) => {
                block.range.end = end;
                block.text = &page[block.range.clone()];
            }
            None => {
                let (fence, info) = trimmed.split_at(trimmed.len() - trimmed.trim_start_matches('`').len());
                if fence.len() < 3 {
                    parts.push(Part::Line(index + 1, trimmed));
                } else {
                    open = Some(Block {
                        line: index + 1,
                        info,
                        text: "",
                        range: end..end,
                        fence,
                    });
                }
            }
        }
        position = end;
    }
    parts.extend(open.map(Part::Block));
    parts
}

/// Returns the code blocks of a page.
pub fn blocks(page: &str) -> Vec<Block<'_>> {
    let blocks = parts(page).into_iter().filter_map(|part| match part {
        Part::Block(block) => Some(block),
        Part::Line(..) => None,
    });
    blocks.collect()
}

/// Returns the level and the text of a heading.
pub fn heading(line: &str) -> Option<(usize, &str)> {
    let text = line.trim_start_matches('#');
    let level = line.len() - text.len();
    (level > 0).then_some((level, text.strip_prefix(' ')?))
}

/// Returns the page with new texts in some of its blocks, which are in the order of the page.
///
/// # Panics
///
/// Panics if a text contains the fence of its block.
pub fn with_texts<'p>(page: &str, texts: impl IntoIterator<Item = (&'p Block<'p>, String)>) -> String {
    let mut out = String::with_capacity(page.len());
    let mut written = 0;
    for (block, text) in texts {
        assert!(
            !text.lines().any(|line| line.trim() == block.fence),
            "the block in line {} needs a longer fence",
            block.line
        );
        out.push_str(&page[written..block.range.start]);
        out.push_str(&text);
        written = block.range.end;
    }
    out.push_str(&page[written..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str =
        "# Title\n\nText\n```yaml a.yaml\na: 1\n```\n- item\n  ````md\n  ```\n  b\n  ````\n```text\n```\n";

    #[test]
    fn finds_blocks_with_their_lines_and_texts() {
        let found: Vec<_> = blocks(PAGE)
            .iter()
            .map(|block| (block.line, block.language(), block.argument(), block.text))
            .collect();
        assert_eq!(
            found,
            [
                (4, "yaml", Some("a.yaml"), "a: 1\n"),
                (8, "md", None, "  ```\n  b\n"),
                (12, "text", None, ""),
            ]
        );
    }

    #[test]
    fn keeps_the_lines_between_blocks() {
        let lines: Vec<_> = parts(PAGE)
            .into_iter()
            .filter_map(|part| match part {
                Part::Line(line, text) => Some((line, text)),
                Part::Block(_) => None,
            })
            .collect();
        assert_eq!(lines, [(1, "# Title"), (2, ""), (3, "Text"), (7, "- item")]);
        assert_eq!(heading("## A b"), Some((2, "A b")));
        assert_eq!(heading("#hash"), None);
        assert_eq!(heading("text"), None);
    }

    #[test]
    fn an_open_block_extends_to_the_end() {
        let found = blocks("```text\na\nb");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].text, "a\nb");
    }

    #[test]
    fn writes_texts_into_blocks() {
        let blocks = blocks(PAGE);
        let texts = [
            (&blocks[0], "a: 2\n".to_owned()),
            (&blocks[2], "new\n".to_owned()),
        ];
        let written = with_texts(PAGE, texts);
        assert_eq!(
            written,
            PAGE.replace("a: 1\n", "a: 2\n")
                .replace("```text\n", "```text\nnew\n")
        );
    }

    #[test]
    #[should_panic(expected = "the block in line 4 needs a longer fence")]
    fn rejects_a_text_that_closes_its_block() {
        let blocks = blocks(PAGE);
        with_texts(PAGE, [(&blocks[0], "```\n".to_owned())]);
    }
}
