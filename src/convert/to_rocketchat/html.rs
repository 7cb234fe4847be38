//! HTML as a small tree: what a browser would make of it, as far as messages need.
//!
//! html5ever cuts the text into tags, text and entities, which takes time in
//! proportion to its length. Its tree builder is not used: it may copy open
//! formatting into every paragraph (quadratic in a hostile text) and makes trees of
//! any depth. The tree here is never deeper than [`MAX_DEPTH`], and every element
//! is made by one tag of the text.

use std::cell::RefCell;

use html5ever::TokenizerResult;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};

/// Bytes beyond which a text is not read as HTML. An event has at most 65 536. The
/// worst that fits, one tag of 17 000 attributes, takes 65 ms; everything else 5 ms.
pub(super) const MAX_BYTES: usize = 65_536;

/// Elements within one another; tags beyond are passed over, their text is kept.
const MAX_DEPTH: usize = 100;

/// A piece of HTML.
#[derive(Debug, PartialEq)]
pub(super) enum Node {
    /// Text, with entities replaced.
    Text(String),
    /// An element.
    Element(Element),
}

/// An element with what is in it.
#[derive(Debug, PartialEq)]
pub(super) struct Element {
    /// In lower case.
    pub name: String,
    attributes: Vec<(String, String)>,
    /// In order.
    pub children: Vec<Node>,
}

impl Element {
    /// The value of an attribute; none when the element does not have it.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether nothing in the element is for people to read.
    pub fn is_dropped(&self) -> bool {
        matches!(
            self.name.as_str(),
            "script" | "style" | "title" | "template" | "iframe" | "object" | "mx-reply"
        )
    }

    /// Whether the element stands on lines of its own.
    pub fn is_block(&self) -> bool {
        is_block(&self.name)
    }
}

/// The tree of a text; none when the text is too large.
pub(super) fn parse(html: &str) -> Option<Vec<Node>> {
    if html.len() > MAX_BYTES {
        return None;
    }
    let tokenizer = Tokenizer::new(Builder::default(), TokenizerOpts::default());
    let input = BufferQueue::default();
    input.push_back(html.into());
    while !matches!(tokenizer.feed(&input), TokenizerResult::Done) {}
    tokenizer.end();
    Some(tokenizer.sink.tree.into_inner().finish())
}

fn is_block(name: &str) -> bool {
    matches!(
        name,
        "p" | "div"
            | "blockquote"
            | "pre"
            | "ul"
            | "ol"
            | "li"
            | "table"
            | "thead"
            | "tbody"
            | "tfoot"
            | "tr"
            | "td"
            | "th"
            | "caption"
            | "hr"
            | "details"
            | "summary"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
    )
}

/// Never has anything in it.
fn is_void(name: &str) -> bool {
    matches!(
        name,
        "br" | "hr"
            | "img"
            | "input"
            | "wbr"
            | "meta"
            | "link"
            | "area"
            | "base"
            | "col"
            | "embed"
            | "source"
            | "track"
            | "param"
    )
}

#[derive(Default)]
struct Builder {
    tree: RefCell<Tree>,
}

impl TokenSink for Builder {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut tree = self.tree.borrow_mut();
        match token {
            Token::CharacterTokens(text) => tree.text(&text),
            Token::TagToken(tag) => match tag.kind {
                TagKind::StartTag => return tree.start(tag),
                TagKind::EndTag => tree.end(&tag.name),
            },
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

/// The tree while it grows: the elements that are open, outermost first.
#[derive(Default)]
struct Tree {
    roots: Vec<Node>,
    open: Vec<Element>,
    /// Elements that would have been too deep and are not yet closed.
    too_deep: usize,
}

impl Tree {
    fn here(&mut self) -> &mut Vec<Node> {
        match self.open.last_mut() {
            Some(element) => &mut element.children,
            None => &mut self.roots,
        }
    }

    fn text(&mut self, text: &str) {
        let here = self.here();
        if let Some(Node::Text(before)) = here.last_mut() {
            before.push_str(text);
        } else {
            here.push(Node::Text(text.to_owned()));
        }
    }

    fn start(&mut self, tag: Tag) -> TokenSinkResult<()> {
        let name = tag.name.to_string();
        let raw = match name.as_str() {
            "script" => Some(RawKind::ScriptData),
            "style" | "iframe" => Some(RawKind::Rawtext),
            "title" | "textarea" => Some(RawKind::Rcdata),
            _ => None,
        };
        self.close_what_cannot_hold(&name);
        let element = Element {
            attributes: tag
                .attrs
                .into_iter()
                .map(|attribute| {
                    (
                        attribute.name.local.to_string(),
                        attribute.value.to_string(),
                    )
                })
                .collect(),
            name,
            children: Vec::new(),
        };
        if is_void(&element.name) {
            self.here().push(Node::Element(element));
        } else if self.open.len() < MAX_DEPTH || raw.is_some() || element.is_dropped() {
            // What is dropped must be dropped at any depth; it holds no elements, or
            // elements that are dropped with it.
            if self.open.len() < 2 * MAX_DEPTH {
                self.open.push(element);
            } else {
                self.too_deep += 1;
            }
        } else {
            self.too_deep += 1;
        }
        raw.map_or(TokenSinkResult::Continue, TokenSinkResult::RawData)
    }

    fn end(&mut self, name: &str) {
        if is_void(name) {
            if name == "br" {
                self.here().push(Node::Element(Element {
                    name: "br".to_owned(),
                    attributes: Vec::new(),
                    children: Vec::new(),
                }));
            }
            return;
        }
        if self.too_deep > 0 && self.open.last().is_none_or(|last| last.name != name) {
            self.too_deep -= 1;
            return;
        }
        // A block is not ended by the end of formatting that began outside of it.
        let fences = !is_block(name);
        let at = self
            .open
            .iter()
            .enumerate()
            .rev()
            .take_while(|(_, open)| !fences || !open.is_block() || open.name == name)
            .find(|(_, open)| open.name == name)
            .map(|(at, _)| at);
        if let Some(at) = at {
            self.close_down_to(at);
        }
    }

    /// A paragraph ends where a block begins, an item where the next one begins.
    fn close_what_cannot_hold(&mut self, name: &str) {
        if !is_block(name) {
            return;
        }
        let (ended, bounds): (&[&str], &[&str]) = match name {
            "li" => (&["li", "p"], &["ul", "ol", "blockquote", "table"]),
            "td" | "th" => (&["td", "th", "p"], &["tr", "table"]),
            "tr" => (&["tr", "td", "th", "p"], &["table"]),
            "thead" | "tbody" | "tfoot" => (&["thead", "tbody", "tr", "td", "th"], &["table"]),
            _ => (
                &["p"],
                &["li", "td", "th", "blockquote", "div", "details", "table"],
            ),
        };
        let at = self
            .open
            .iter()
            .enumerate()
            .rev()
            .take_while(|(_, open)| !bounds.contains(&open.name.as_str()))
            .filter(|(_, open)| ended.contains(&open.name.as_str()))
            .map(|(at, _)| at)
            .last();
        if let Some(at) = at {
            self.close_down_to(at);
        }
    }

    fn close_down_to(&mut self, at: usize) {
        while self.open.len() > at {
            if let Some(element) = self.open.pop() {
                self.here().push(Node::Element(element));
            }
        }
    }

    fn finish(&mut self) -> Vec<Node> {
        self.close_down_to(0);
        std::mem::take(&mut self.roots)
    }
}
