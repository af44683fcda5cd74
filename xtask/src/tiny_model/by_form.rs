//! Scores on drawn scenes by the form of the expressions.

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;

use mllmseg::data::refer::{Dataset, Split};
use mllmseg::evaluate::{Benchmark, BenchmarkOptions, Evaluation};
use mllmseg::scenes::{Part, Pattern, World, expressions, generate};

use super::scenes::TEST;

/// Rows of a table, the best mean IoU first: an example; the number of expressions with a target, their
/// mean IoU and Prec@0.5; the number of expressions without a target, and the share that is rejected.
///
/// `evaluation` is of the validation part of the test scenes, in the gRefCOCO layout.
pub(super) fn by_form(scenes: &Path, evaluation: &Evaluation) -> Result<String, Box<dyn Error>> {
    let options = BenchmarkOptions::new(Dataset::GRefCoco, Split::Val);
    let benchmark = Benchmark::open(scenes, options)?;
    let selection = benchmark.selection()?;
    let forms = forms();
    let mut tallies: HashMap<&str, Tally> = HashMap::new();
    for outcome in &evaluation.outcomes {
        let (_, expression) = selection.expression(outcome.place);
        let example = forms.get(expression.text).ok_or_else(|| {
            format!("{:?} is not an expression of seed {}", expression.text, TEST.1)
        })?;
        let tally = tallies.entry(example).or_default();
        match outcome.no_target {
            true => tally[1].push(f64::from(u8::from(outcome.rejected))),
            false => tally[0].push(outcome.iou),
        }
    }
    let mut rows: Vec<(&str, Tally)> = tallies.into_iter().collect();
    rows.sort_by(|(a, [one, _]), (b, [other, _])| {
        mean(other).total_cmp(&mean(one)).then_with(|| a.cmp(b))
    });
    let row = |(example, [with, without]): &(&str, Tally)| {
        let found: Vec<f64> = with.iter().map(|iou| f64::from(u8::from(*iou >= 0.5))).collect();
        let percent = |values: &[f64]| 100.0 * mean(values);
        format!(
            "| \"{example}\" | {} | {:.1} | {:.1} | {} | {:.1} |\n",
            with.len(),
            percent(with),
            percent(&found),
            without.len(),
            percent(without)
        )
    };
    Ok(rows.iter().map(row).collect())
}

/// The expressions of one form: IoU of those with a target; of those without, 1 if rejected, else 0.
type Tally = [Vec<f64>; 2];

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// All expressions of the test scenes, and an example of the form of each. The same words have the
/// same form in every scene.
fn forms() -> HashMap<String, &'static str> {
    let world = World::small();
    let all = |number| expressions(&world, &generate(&world, TEST.1, Part::Val.index(number)));
    (0..TEST.0).flat_map(all).map(|one| (one.text, example(one.form.pattern))).collect()
}

fn example(pattern: Pattern) -> &'static str {
    match pattern {
        Pattern::Named => "the red star",
        Pattern::Extreme => "the leftmost star",
        Pattern::Side => "the star on the left",
        Pattern::Relation => "the star above the ring",
        Pattern::Second => "the second star from the left",
        Pattern::Superlative => "the largest star",
        Pattern::All => "all the red shapes",
        Pattern::AllSide => "all the red shapes on the left",
        Pattern::Pair => "the star and the ring",
    }
}
