//! Whether a checkpoint can be trusted: its files, its weights, and every stage of its computation,
//! beside those of another implementation if there is a reference.
//!
//! | file | what |
//! | --- | --- |
//! | [`Subject`] | what is checked |
//! | [`report`] | steps and their verdicts |
//! | `parts` | configuration, tokenizer, files, weights |
//! | [`stages`] | what one conversation computes |
//! | [`mod@reference`] | what another implementation computed |
//! | [`compare`] | the largest difference of each stage |
//! | `verdicts` | what the stages and their differences mean |

pub mod compare;
mod parts;
pub mod reference;
pub mod report;
pub mod stages;
mod subject;
mod verdicts;

use mllmseg_data::prompt::{evaluation_answer, evaluation_question};
use mllmseg_scenes::{Part, World, generate};

use crate::segmenter::Segmenter;
use compare::{StageTolerances, compare_stages};
use report::{Report, Verdict};
use stages::compute_stages;
pub use subject::Subject;

/// The longest conversation of a reference, in tokens: about ten times that of a usual one.
const MAX_TOKENS: usize = 4096;
/// The most masks of a reference; the decoder's maps of one take about 40 MB.
const MAX_MASKS: usize = 16;

/// Checks a checkpoint step by step. What a step cannot do without is skipped with it; each file is
/// read once.
pub fn check(subject: &Subject) -> Report {
    let mut report = Report::default();
    if let Some(reference) = &subject.reference {
        match reference.pillow_caution() {
            None => report.add("reference", Verdict::Ok, &reference.origin),
            Some(caution) => report.add("reference", Verdict::Warning, caution),
        }
    }
    let Some(segmenter) = parts::load(&mut report, subject) else {
        report.add("stages", Verdict::Skipped, "they need all of the above");
        return report;
    };
    if let Err(error) = check_stages(&mut report, subject, &segmenter) {
        report.add("stages", Verdict::Failed, error);
    }
    report
}

fn check_stages(
    report: &mut Report,
    subject: &Subject,
    segmenter: &Segmenter,
) -> Result<(), Box<dyn std::error::Error>> {
    let device = subject.device;
    let Some(reference) = &subject.reference else {
        let scene = generate(&World::small(), 7, Part::Val.index(0));
        let asked = ["the red star"];
        let answer = evaluation_answer(&asked, &[]);
        let prompt = segmenter.tokenize(&evaluation_question(&asked), Some(&answer))?;
        let stages = compute_stages(segmenter, &scene.draw(), &prompt)?;
        verdicts::judge(report, segmenter, &stages, None);
        return Ok(());
    };
    let prompt = segmenter.tokenize(&reference.question, reference.answer.as_deref())?;
    let masks = prompt.answer_positions(segmenter.special.seg).count();
    if prompt.input_ids.len() > MAX_TOKENS || masks > MAX_MASKS {
        return Err(format!(
            "the reference: expected at most {MAX_TOKENS} tokens and {MAX_MASKS} [SEG], found {} and {masks}",
            prompt.input_ids.len()
        )
        .into());
    }
    let stages = compute_stages(segmenter, &reference.image, &prompt)?;
    let tolerances = match device.id == "cpu" {
        true => StageTolerances::CPU,
        false => StageTolerances::GPU,
    };
    let rows = compare_stages(&stages, &reference.stages, tolerances);
    verdicts::judge(report, segmenter, &stages, Some((reference, rows)));
    Ok(())
}
