//! Which expressions a scene gets.
//!
//! Words must not reveal whether there is a target. So the form, the size words and the direction are
//! drawn first. A label (no target, one, several where the form allows it) is drawn only if the scene
//! allows each label for them. Shape and colour come last, and no label prefers any.

use crate::annotator::{AnnotatorView, Referent, indices};
use crate::candidates::{candidates, templates};
use crate::form::{Form, Pattern, Statement};
use crate::rng::Rng;
use crate::{Scene, World};

/// The purposes of the random streams; the scene has a stream of its own.
const EXPRESSIONS: u64 = 2;
const SINGLES: u64 = 3;
/// How many forms are tried for one expression.
const TRIES: usize = 40;
/// How often (percent) several targets are preferred to one, and an object at another place to an
/// object that does not exist.
const PREFERRED: u32 = 75;

/// An expression about a scene.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SceneExpression {
    /// The words: lower case, single spaces.
    pub text: String,
    /// The indices of the objects it refers to, in order; empty if there is no target.
    pub targets: Vec<usize>,
    /// Its form.
    pub form: Form,
}

/// The expressions of a scene: all different, some with one target, some with several, some with none.
///
/// They depend on the world and the scene only. There may be fewer than the world asks for, if the
/// scene does not allow more.
pub fn expressions(world: &World, scene: &Scene) -> Vec<SceneExpression> {
    let mut sampler = Sampler::new(world, scene, EXPRESSIONS);
    let wanted = sampler.rng.count(world.expressions);
    sampler.fill(wanted, Some(world.absent), |_| true);
    sampler.finish()
}

/// Expressions with one target: those of the `given` [`expressions`] whose pattern is singular, and
/// more until there are as many as the world asks for.
pub fn single_expressions(
    world: &World,
    scene: &Scene,
    given: &[SceneExpression],
) -> Vec<SceneExpression> {
    let is_single =
        |said: &&SceneExpression| said.form.pattern.is_singular() && said.targets.len() == 1;
    let mut singles: Vec<_> = given.iter().filter(is_single).cloned().collect();
    if singles.len() < world.singles {
        let mut sampler = Sampler::new(world, scene, SINGLES);
        sampler.fill(world.singles.saturating_mul(2), None, Pattern::is_singular);
        for more in sampler.finish() {
            if singles.len() < world.singles && singles.iter().all(|said| said.text != more.text) {
                singles.push(more);
            }
        }
    }
    singles
}

struct Sampler<'w> {
    world: &'w World,
    view: AnnotatorView<'w>,
    rng: Rng,
    said: Vec<(Statement, u32)>,
}

impl<'w> Sampler<'w> {
    fn new(world: &'w World, scene: &'w Scene, purpose: u64) -> Self {
        let (seed, index) = scene.origin;
        let rng = Rng::new(seed, index, purpose);
        Self { world, view: AnnotatorView::of(scene), rng, said: Vec::new() }
    }

    /// Adds expressions until there are `wanted`. `absent` percent of them have no target; with `None`,
    /// all have one.
    fn fill(&mut self, wanted: usize, absent: Option<u32>, fits: impl Fn(Pattern) -> bool) {
        let fits = |(form, _): &&(Form, u32)| fits(form.pattern);
        let forms: Vec<(Form, u32)> = self.world.forms.iter().filter(fits).copied().collect();
        let total: u32 = forms.iter().map(|(_, weight)| weight).sum();
        for _ in 0..wanted.saturating_mul(TRIES) {
            if self.said.len() >= wanted || total == 0 {
                return;
            }
            let mut ticket = self.rng.below(total as usize) as u32;
            for &(form, weight) in &forms {
                if ticket < weight {
                    self.add(form, absent);
                    break;
                }
                ticket -= weight;
            }
        }
    }

    /// Adds an expression of a form, if the scene allows each label.
    fn add(&mut self, form: Form, absent: Option<u32>) {
        let template = self.rng.pick(&templates(self.world, form));
        let (mut one, mut several, mut no_match, mut not_in_place) =
            (vec![], vec![], vec![], vec![]);
        for statement in candidates(self.world, &template) {
            let referent = self.view.referent(&statement);
            if self.said.iter().any(|(said, _)| *said == statement) {
                continue;
            }
            match referent {
                Referent::Targets(bits) if bits.count_ones() == 1 => one.push((statement, bits)),
                Referent::Targets(bits) => several.push((statement, bits)),
                Referent::NoMatch => no_match.push((statement, 0)),
                Referent::NotInPlace => not_in_place.push((statement, 0)),
                Referent::Ambiguous => {}
            }
        }
        let present = match form.pattern.is_open() {
            true => !one.is_empty() && !several.is_empty(),
            false => !one.is_empty() || !several.is_empty(),
        };
        let choices = match absent {
            None if present => [several, one],
            Some(percent) if present && !(no_match.is_empty() && not_in_place.is_empty()) => {
                if self.rng.chance(percent) { [not_in_place, no_match] } else { [several, one] }
            }
            _ => return,
        };
        let [preferred, rest] = choices;
        let first = rest.is_empty() || !preferred.is_empty() && self.rng.chance(PREFERRED);
        self.said.push(self.rng.pick(if first { &preferred } else { &rest }));
    }

    fn finish(self) -> Vec<SceneExpression> {
        let expression = |(statement, bits): (Statement, u32)| SceneExpression {
            text: statement.text(),
            targets: indices(bits).collect(),
            form: statement.form,
        };
        self.said.into_iter().map(expression).collect()
    }
}
