//! SentencePiece's byte-pair merging: always the best-scored adjacent pair, the leftmost of equals.
//!
//! A merge *list*, as `tokenizers::models::bpe::BPE` wants it, cannot say "the leftmost of equals"
//! where one piece arises from two different pairs (`a|aa` and `aa|a`), so this small loop stands
//! in its place. Fact: `bpe_model.cc` of google/sentencepiece.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::ops::Range;

/// The score of a piece (a higher one merges first), and whether it is unused: such a piece may
/// arise on the way, but is split again at the end.
pub(super) type Mergeable = (f32, bool);

/// A stretch of the text between its neighbours, which are indices into the list of symbols.
struct Symbol {
    range: Range<usize>,
    previous: Option<usize>,
    next: Option<usize>,
    /// User-defined pieces never merge.
    frozen: bool,
}

/// A pair that may merge: its rank, its sides, and the length in bytes that both had when the pair
/// was found. The pair is stale when that has changed.
type Candidate = (i32, Reverse<usize>, usize, usize);

/// A score as an integer of the same order; -0, at which trained models start, ranks as 0.
fn rank(score: f32) -> i32 {
    let bits = score.to_bits() as i32;
    if bits < 0 { i32::MIN - bits } else { bits }
}

/// One text on its way from characters to pieces.
pub(super) struct Merger<'a, F> {
    text: &'a str,
    lookup: F,
    symbols: Vec<Symbol>,
    /// The best rank comes first, then the leftmost pair.
    queue: BinaryHeap<Candidate>,
    /// Where an unused piece was cut, so that it can be split again.
    cuts: HashMap<&'a str, usize>,
}

impl<'a, F: Fn(&str) -> Option<Mergeable>> Merger<'a, F> {
    /// Starts from `symbols`, stretches that cover the text; the flag says that a stretch is a
    /// user-defined piece.
    pub(super) fn new(
        text: &'a str,
        symbols: impl Iterator<Item = (Range<usize>, bool)>,
        lookup: F,
    ) -> Self {
        let mut symbols: Vec<Symbol> = symbols
            .enumerate()
            .map(|(index, (range, frozen))| Symbol {
                range,
                previous: index.checked_sub(1),
                next: Some(index + 1),
                frozen,
            })
            .collect();
        if let Some(last) = symbols.last_mut() {
            last.next = None;
        }
        Self { text, lookup, symbols, queue: BinaryHeap::new(), cuts: HashMap::new() }
    }

    /// Merges to the end and returns the pieces from left to right.
    pub(super) fn run(mut self) -> Vec<&'a str> {
        for right in 1..self.symbols.len() {
            self.consider(Some(right - 1), Some(right));
        }
        while let Some(best) = self.queue.pop() {
            self.merge(best);
        }
        let mut pieces = Vec::new();
        let mut at = (!self.symbols.is_empty()).then_some(0);
        while let Some(symbol) = at.and_then(|index| self.symbols.get(index)) {
            self.split_unused(&self.text[symbol.range.clone()], &mut pieces);
            at = symbol.next;
        }
        pieces
    }

    fn consider(&mut self, left: Option<usize>, right: Option<usize>) {
        let (Some(left), Some(right)) = (left, right) else { return };
        let (a, b) = (&self.symbols[left], &self.symbols[right]);
        if a.frozen || b.frozen {
            return;
        }
        let joined = &self.text[a.range.start..b.range.end];
        if let Some((score, unused)) = (self.lookup)(joined) {
            if unused {
                self.cuts.insert(joined, a.range.len());
            }
            self.queue.push((rank(score), Reverse(left), right, joined.len()));
        }
    }

    fn merge(&mut self, (_, Reverse(left), right, length): Candidate) {
        let lengths = (self.symbols[left].range.len(), self.symbols[right].range.len());
        if lengths.0 == 0 || lengths.1 == 0 || lengths.0 + lengths.1 != length {
            return; // one side has merged elsewhere since
        }
        let taken = self.symbols[right].range.end;
        let after = self.symbols[right].next;
        self.symbols[right].range = taken..taken;
        self.symbols[left].range.end = taken;
        self.symbols[left].next = after;
        if let Some(after) = after {
            self.symbols[after].previous = Some(left);
        }
        self.consider(self.symbols[left].previous, Some(left));
        self.consider(Some(left), after);
    }

    /// Splits pieces that the model marks as unused into the pair each was made of, as deep as
    /// needed.
    fn split_unused(&self, piece: &'a str, pieces: &mut Vec<&'a str>) {
        let mut pending = vec![piece];
        while let Some(piece) = pending.pop() {
            match self.cuts.get(piece) {
                Some(&cut) => {
                    let (left, right) = piece.split_at(cut);
                    pending.push(right);
                    pending.push(left);
                }
                None => pieces.push(piece),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str, table: &[(&str, f32, bool)]) -> Vec<String> {
        let lookup = |piece: &str| {
            table
                .iter()
                .find(|(name, ..)| *name == piece)
                .map(|&(_, score, unused)| (score, unused))
        };
        let symbols = text.char_indices().map(|(at, c)| (at..at + c.len_utf8(), false));
        Merger::new(text, symbols, lookup).run().into_iter().map(String::from).collect()
    }

    #[test]
    fn equal_scores_merge_from_the_left_whatever_the_pair() {
        // By hand: aa|aa|a, then the leftmost of the two possible `aaa` is (aa, a) only at the end:
        // aa, aaa.
        let table = [("aa", 0.0, false), ("aaa", -1.0, false)];
        assert_eq!(pieces("aaaaa", &table), ["aa", "aaa"]);
        // -0 and 0 are one score: the left pair goes first although its score is written -0.
        assert_eq!(pieces("abc", &[("ab", -0.0, false), ("bc", 0.0, false)]), ["ab", "c"]);
    }

    #[test]
    fn unused_pieces_are_steps_but_not_results() {
        let table = [("ab", 0.0, true), ("abc", -1.0, false)];
        assert_eq!(pieces("abcab", &table), ["abc", "a", "b"]);
    }
}
