//! Which of the things that can be said of a scene are said.
//!
//! Words must not tell whether there is a target. So the form, the size words and the direction are
//! drawn first; only if the scene allows each label (no target, one, several where the form allows
//! it) for that kind is a label drawn, and last of all shape and colour, of which no label favours
//! any.

use super::forms::{Form, Statement, Stratum, statements};
use super::rng::Rng;
use super::truth::{Sight, Truth, indices};
use super::{Scene, World};

/// What the random numbers are for; the scene has a stream of its own.
const PURPOSE: u64 = 2;
/// How many kinds are tried for one expression.
const TRIES: usize = 40;
/// How often (percent) something that is there but not in the place named is preferred to something
/// that is not there at all, and several targets to one.
const PREFERRED: u32 = 75;

/// An expression about a scene.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SceneExpression {
    /// The words: lower case, single spaces.
    pub text: String,
    /// The objects it refers to, by index and in order; empty if there is no target.
    pub targets: Vec<usize>,
    /// Its form.
    pub form: Form,
}

/// What is said of a scene: all different, some with one target, some with several, some with none.
///
/// They depend on the world and on the scene only. There may be fewer than the world asks for if
/// the scene does not allow more.
pub fn expressions(world: &World, scene: &Scene) -> Vec<SceneExpression> {
    let mut selection = Selection::new(world, scene);
    let [low, high] = [*world.expressions.start(), *world.expressions.end()];
    let wanted = low + selection.rng.below(high.saturating_sub(low) + 1);
    selection.fill(wanted, Some(world.absent), |_| true);
    selection.into_expressions()
}

/// Expressions with one target: those of [`expressions`] whose form is singular, and more until
/// there are as many as the world asks for.
pub fn single_expressions(world: &World, scene: &Scene) -> Vec<SceneExpression> {
    singles_beside(world, scene, &expressions(world, scene))
}

/// [`single_expressions`] where [`expressions`] are known.
pub(super) fn singles_beside(
    world: &World,
    scene: &Scene,
    given: &[SceneExpression],
) -> Vec<SceneExpression> {
    let given = given.iter().filter(|said| said.form.is_singular() && said.targets.len() == 1);
    let mut singles: Vec<_> = given.cloned().collect();
    let mut selection = Selection::new(world, scene);
    // A stream of its own, so that what is added does not repeat what was drawn.
    selection.rng = Rng::new(scene.origin().0, scene.origin().1, PURPOSE + 1);
    if singles.len() < world.singles {
        selection.fill(world.singles.saturating_mul(2), None, Form::is_singular);
    }
    for more in selection.into_expressions() {
        if singles.len() < world.singles && singles.iter().all(|said| said.text != more.text) {
            singles.push(more);
        }
    }
    singles
}

struct Selection<'w> {
    world: &'w World,
    sight: Sight,
    rng: Rng,
    said: Vec<(Statement, u32)>,
}

impl<'w> Selection<'w> {
    fn new(world: &'w World, scene: &Scene) -> Self {
        let (seed, index) = scene.origin();
        let rng = Rng::new(seed, index, PURPOSE);
        Self { world, sight: Sight::of(scene), rng, said: Vec::new() }
    }

    /// Adds expressions until there are `wanted`; `absent` percent of them refer to nothing, or none
    /// of them must.
    fn fill(&mut self, wanted: usize, absent: Option<u32>, fits: impl Fn(Form) -> bool) {
        let forms: Vec<(Form, u32)> =
            self.world.forms.iter().copied().filter(|(form, _)| fits(*form)).collect();
        let total: u32 = forms.iter().map(|(_, weight)| weight).sum();
        for _ in 0..wanted.saturating_mul(TRIES) {
            if self.said.len() >= wanted || total == 0 {
                return;
            }
            let mut ticket = self.rng.below(total as usize) as u32;
            let form = forms.iter().find(|(_, weight)| {
                let found = ticket < *weight;
                ticket = ticket.saturating_sub(*weight);
                found
            });
            if let Some((form, _)) = form {
                self.add(*form, absent);
            }
        }
    }

    /// Adds an expression of a form, if the scene allows both labels.
    fn add(&mut self, form: Form, absent: Option<u32>) {
        let stratum = self.rng.pick(&Stratum::all(self.world, form));
        let (mut one, mut several, mut unlike, mut elsewhere) = (vec![], vec![], vec![], vec![]);
        for statement in statements(self.world, form, stratum) {
            let truth = self.sight.truth(&statement);
            if truth != Truth::Unsaid && self.said.iter().any(|(said, _)| *said == statement) {
                continue;
            }
            match truth {
                Truth::Targets(bits) if bits.count_ones() == 1 => one.push((statement, bits)),
                Truth::Targets(bits) => several.push((statement, bits)),
                Truth::NothingLike => unlike.push((statement, 0)),
                Truth::NothingThere => elsewhere.push((statement, 0)),
                Truth::Unsaid => {}
            }
        }
        let present = match form.is_open() {
            true => !one.is_empty() && !several.is_empty(),
            false => !one.is_empty() || !several.is_empty(),
        };
        let choices = match absent {
            None if present => [several, one],
            Some(percent) if present && !(unlike.is_empty() && elsewhere.is_empty()) => {
                if self.rng.chance(percent) { [elsewhere, unlike] } else { [several, one] }
            }
            _ => return,
        };
        let [preferred, rest] = choices;
        let first = rest.is_empty() || !preferred.is_empty() && self.rng.chance(PREFERRED);
        self.said.push(self.rng.pick(if first { &preferred } else { &rest }));
    }

    fn into_expressions(self) -> Vec<SceneExpression> {
        let put = |(statement, bits): (Statement, u32)| SceneExpression {
            text: statement.text(),
            targets: indices(bits).collect(),
            form: statement.form,
        };
        self.said.into_iter().map(put).collect()
    }
}
