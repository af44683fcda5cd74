//! The statements that a world can make, whatever the scene.

use std::collections::BTreeSet;

use strum::VariantArray;

use crate::World;
use crate::form::{Form, Pattern, Phrase, Statement};
use crate::vocabulary::{Direction, Rank};

/// The statements of a form without shapes and colours: one for each size word, direction and rank.
pub(crate) fn templates(world: &World, form: Form) -> Vec<Statement> {
    let directions: &[_] =
        if form.pattern.has_direction() { Direction::VARIANTS } else { &[Direction::Left] };
    let ranks: &[_] = match form.pattern {
        Pattern::Superlative if world.sizes().len() > 2 => {
            &[Rank::Largest, Rank::Smallest, Rank::SecondLargest]
        }
        Pattern::Superlative => &[Rank::Largest, Rank::Smallest],
        _ => &[Rank::Largest],
    };
    let mut templates = Vec::new();
    for size in values(world.sizes(), form.slots.size) {
        let (noun, other) = (Phrase { size, ..Phrase::default() }, Phrase::default());
        for &direction in directions {
            let template = |&rank| Statement { form, noun, other, direction, rank };
            templates.extend(ranks.iter().map(template));
        }
    }
    templates
}

/// Every statement of a template.
pub(crate) fn candidates(world: &World, template: &Statement) -> Vec<Statement> {
    let Form { pattern, slots } = template.form;
    let mut nouns = Vec::new();
    for shape in values(world.shapes(), slots.shape) {
        let colours = values(world.colours(), slots.colour).into_iter();
        nouns.extend(colours.map(|colour| Phrase { colour, shape, ..template.noun }));
    }
    let statements = nouns.iter().map(|&noun| Statement { noun, ..*template });
    if !pattern.has_two_nouns() {
        return statements.collect();
    }
    // The two nouns share no named colour or shape: otherwise a repeated word would be a hint, and one
    // object could match both.
    let differ = |a: &Phrase, b: &Phrase| {
        (!slots.shape || a.shape != b.shape) && (!slots.colour || a.colour != b.colour)
    };
    let with_others = |one: Statement| {
        let others = nouns.iter().filter(move |other| differ(&one.noun, other));
        others.map(move |&other| Statement { other, ..one })
    };
    statements.flat_map(with_others).collect()
}

/// Each of the values, or one `None` if they are not named.
fn values<T: Copy>(values: &[T], named: bool) -> Vec<Option<T>> {
    if named { values.iter().copied().map(Some).collect() } else { vec![None] }
}

impl World {
    /// Every word that expressions about this world may have, sorted.
    pub fn vocabulary(&self) -> BTreeSet<String> {
        let mut words = BTreeSet::new();
        for &(form, _) in self.forms.iter().filter(|(_, weight)| *weight > 0) {
            for template in templates(self, form) {
                for statement in candidates(self, &template) {
                    words.extend(statement.text().split(' ').map(str::to_owned));
                }
            }
        }
        words
    }
}
