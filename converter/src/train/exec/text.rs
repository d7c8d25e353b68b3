//! The operators that see texts: looking tokens up, attention, and one vector for a text.

use super::gemm::{Grid, Outer, Packed, Rows, Store, gather, outer};
use super::layer::{Inputs, Layer, Point, Scratch, Site};
use super::rows::dot;
use super::smooth::softmax_rows;
use crate::graph::Pick as Which;
use pulp::{Arch, Simd, WithSimd};
use std::ops::Range;

/// Rows of a table for the tokens, plus rows for their positions.
pub(super) struct Embedding {
    width: usize,
    words: Vec<f32>,
    positions: Vec<f32>,
}

impl Embedding {
    pub(super) fn new(site: &Site<'_>) -> Self {
        Embedding { width: site.shape(1)[1], words: Vec::new(), positions: Vec::new() }
    }
}

impl Layer for Embedding {
    fn prepare(&mut self, operand: usize, values: &[f32]) {
        let own = if operand == 1 { &mut self.words } else { &mut self.positions };
        own.clear();
        own.extend_from_slice(values);
    }

    fn forward(&self, _: usize, x: Inputs<'_>, y: &mut [f32], _: &mut Scratch) {
        let ids = x.get(0);
        for text in x.items.texts() {
            for (place, token) in text.enumerate() {
                let y = &mut y[token * self.width..][..self.width];
                y.copy_from_slice(&self.words[ids[token] as usize * self.width..][..self.width]);
                if let Some(row) = self.positions.get(place * self.width..(place + 1) * self.width) {
                    y.iter_mut().zip(row).for_each(|(y, position)| *y += position);
                }
            }
        }
    }

    fn input_grad(&self, _: usize, _: Point<'_>, dx: &mut [f32], store: Store, _: &mut Scratch) {
        // Ids do not move.
        if store == Store::Set {
            dx.fill(0.0);
        }
    }

    fn scatters(&self) -> bool {
        true
    }

    fn touches(&self, operand: usize, x: Inputs<'_>, touch: &mut dyn FnMut(usize)) {
        let ids = x.get(0);
        for text in x.items.texts() {
            text.enumerate().for_each(|(place, token)| touch(if operand == 1 { ids[token] as usize } else { place }));
        }
    }

    fn param_grad(&self, operand: usize, at: Point<'_>, dw: &mut [f32], _: &mut Scratch) {
        let ids = at.x.get(0);
        for text in at.x.items.texts() {
            for (place, token) in text.enumerate() {
                let row = if operand == 1 { ids[token] as usize } else { place };
                let dw = &mut dw[row * self.width..][..self.width];
                dw.iter_mut().zip(&at.dy[token * self.width..]).for_each(|(dw, dy)| *dw += dy);
            }
        }
    }
}

/// One vector for each text.
pub(super) struct Pick {
    width: usize,
    which: Which,
}

impl Pick {
    pub(super) fn new(site: &Site<'_>, which: Which) -> Self {
        Pick { width: site.output().last().copied().unwrap_or(1), which }
    }

    /// The tokens that count.
    fn counted(&self, text: Range<usize>) -> Range<usize> {
        if self.which == Which::First { text.start..text.end.min(text.start + 1) } else { text }
    }
}

impl Layer for Pick {
    fn forward(&self, _: usize, x: Inputs<'_>, y: &mut [f32], _: &mut Scratch) {
        for (text, y) in x.items.texts().zip(y.chunks_exact_mut(self.width)) {
            let counted = self.counted(text);
            let share = 1.0 / counted.len().max(1) as f32;
            y.fill(0.0);
            for row in x.get(0)[counted.start * self.width..counted.end * self.width].chunks_exact(self.width) {
                y.iter_mut().zip(row).for_each(|(y, x)| *y += x);
            }
            y.iter_mut().for_each(|y| *y *= share);
        }
    }

    fn input_grad(&self, _: usize, at: Point<'_>, dx: &mut [f32], store: Store, _: &mut Scratch) {
        if store == Store::Set {
            dx.fill(0.0);
        }
        for (text, dy) in at.x.items.texts().zip(at.dy.chunks_exact(self.width)) {
            let counted = self.counted(text);
            let share = 1.0 / counted.len().max(1) as f32;
            for row in dx[counted.start * self.width..counted.end * self.width].chunks_exact_mut(self.width) {
                row.iter_mut().zip(dy).for_each(|(dx, dy)| *dx += share * dy);
            }
        }
    }
}

/// Attention by heads.
pub(super) struct Attention {
    width: usize,
    /// Channels of a head.
    depth: usize,
}

/// A head of a text: the first of its values in q, k and v, and the number of tokens.
#[derive(Clone, Copy)]
struct Head {
    at: usize,
    tokens: usize,
}

impl Attention {
    pub(super) fn new(site: &Site<'_>, heads: usize) -> Self {
        let width = site.output().last().copied().unwrap_or(1);
        Attention { width, depth: width / heads.max(1) }
    }

    fn scale(&self) -> f32 {
        1.0 / (self.depth as f32).sqrt()
    }

    fn heads(&self, x: Inputs<'_>) -> impl Iterator<Item = Head> + use<'_> {
        let texts: Vec<Range<usize>> = x.items.texts().collect();
        let head = move |text: Range<usize>| {
            (0..self.width)
                .step_by(self.depth)
                .map(move |channel| Head { at: text.start * self.width + channel, tokens: text.len() })
        };
        texts.into_iter().flat_map(head)
    }

    /// `out [tokens, tokens] = a b^T` of one head.
    fn against(&self, head: Head, a: &[f32], b: &[f32], out: &mut [f32], packed: &mut Packed) {
        let Head { at, tokens } = head;
        packed.fill_columns(self.depth, tokens, &b[at..], self.width);
        let (grid, to) = (Grid::row(self.width), Grid::row(tokens));
        let rows = Rows { count: tokens, from: &a[at..], grid, taps: &[0], run: self.depth, to };
        gather(rows, packed, &[], out, Store::Set);
    }

    /// `out = p b` of one head, put or added.
    fn mix(&self, head: Head, p: &[f32], b: &[f32], out: &mut [f32], store: Store, packed: &mut Packed) {
        let Head { at, tokens } = head;
        packed.fill_rows(tokens, self.depth, &b[at..], self.width);
        let (grid, to) = (Grid::row(tokens), Grid::row(self.width));
        gather(Rows { count: tokens, from: p, grid, taps: &[0], run: tokens, to }, packed, &[], &mut out[at..], store);
    }

    /// `out += p^T b` of one head.
    fn mix_back(&self, head: Head, p: &[f32], b: &[f32], out: &mut [f32]) {
        let Head { at, tokens } = head;
        let line = |step| Grid { width: tokens, step, line: 0 };
        let product = Outer {
            lines: 1,
            a: p,
            a_grid: line(tokens),
            m: tokens,
            b: &b[at..],
            b_grid: line(self.width),
            n: self.depth,
            stride: self.width,
        };
        outer(product, &mut out[at..]);
    }

    /// The shares of attention of one head.
    fn shares<'s>(&self, head: Head, x: Inputs<'_>, scratch: &'s mut Scratch) -> &'s mut [f32] {
        let Scratch { packed, scores, .. } = scratch;
        let scores = &mut scores.grow(head.tokens * head.tokens)[..head.tokens * head.tokens];
        self.against(head, x.get(0), x.get(1), scores, packed);
        softmax_rows(scores, head.tokens, self.scale());
        scores
    }
}

impl Layer for Attention {
    fn forward(&self, _: usize, x: Inputs<'_>, y: &mut [f32], scratch: &mut Scratch) {
        for head in self.heads(x) {
            self.shares(head, x, scratch);
            self.mix(head, &scratch.scores, x.get(2), y, Store::Set, &mut scratch.packed);
        }
    }

    /// The shares are computed again for each operand: the two small products cost less than keeping them for all heads.
    fn input_grad(&self, operand: usize, at: Point<'_>, dx: &mut [f32], store: Store, scratch: &mut Scratch) {
        if store == Store::Set {
            dx.fill(0.0);
        }
        if operand > 2 {
            return;
        }
        for head in self.heads(at.x) {
            let len = head.tokens * head.tokens;
            self.shares(head, at.x, scratch);
            let Scratch { packed, scores, image } = &mut *scratch;
            if operand == 2 {
                self.mix_back(head, &scores[..len], at.dy, dx);
                continue;
            }
            let slopes = &mut image.grow(len)[..len];
            self.against(head, at.dy, at.x.get(2), slopes, packed);
            Arch::new().dispatch(ScoreGrad {
                shares: &scores[..len],
                slopes,
                tokens: head.tokens,
                scale: self.scale(),
            });
            if operand == 0 {
                self.mix(head, slopes, at.x.get(1), dx, Store::Add, packed);
            } else {
                self.mix_back(head, slopes, at.x.get(0), dx);
            }
        }
    }
}

/// From the gradient by the shares of attention to that by the products of queries and keys.
struct ScoreGrad<'a> {
    shares: &'a [f32],
    slopes: &'a mut [f32],
    tokens: usize,
    scale: f32,
}

impl WithSimd for ScoreGrad<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let rows = self.shares.chunks_exact(self.tokens.max(1)).zip(self.slopes.chunks_exact_mut(self.tokens.max(1)));
        for (shares, slopes) in rows {
            let mean = dot(shares, slopes);
            for (slope, share) in slopes.iter_mut().zip(shares) {
                *slope = self.scale * share * (*slope - mean);
            }
        }
    }
}
