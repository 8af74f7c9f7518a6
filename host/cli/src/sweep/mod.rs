//! `harness run --sweep`: one recording a point, in one folder; points that are finished are kept.

pub(crate) mod axes;
mod folder;
mod known;
mod show;

use std::sync::Arc;

use harness_core::format::plural;
use harness_core::{Recording, Warning};

use crate::failure::Failure;
use crate::invocation::{self, Planned, Workload};
use crate::progress::Screen;
use crate::recordings::MAX_TOGETHER;
use crate::settings::{Recording as Place, RunSettings};
use crate::{Outcome, deliver};

use axes::{file_names, points};
use known::{Known, finished, set_aside, tell_unlike};
use show::{draw, table};

pub(crate) fn run(settings: &RunSettings, screen: &Screen) -> Outcome {
    let all = points(&settings.sweep)?;
    let workload = Workload::load(settings, screen)?;
    let place = match &settings.recording {
        Place::At(place) | Place::Resumed(place) => place.clone(),
        Place::Among(folder) => folder.join(folder::new_name(&workload.description)),
    };
    let folder = place.for_new()?;
    let mut known = Vec::new();
    for (point, name) in all.iter().zip(file_names(&all)) {
        let mut of_point = settings.clone();
        of_point.set.extend(point.0.iter().cloned());
        // An unknown setting is refused before anything is run.
        let values = workload.values(&of_point, settings.quick)?;
        let path = folder.join(&name);
        of_point.recording = Place::At(place.join(name));
        known.push(Known { point: point.clone(), values, path, settings: of_point, recording: None, failure: None });
    }
    if settings.dry_run {
        let columns: Vec<&str> = settings.sweep.iter().map(|axis| axis.setting.as_str()).collect();
        let planned: Vec<Planned> =
            known.into_iter().map(|known| Planned { point: known.point.0, settings: known.settings }).collect();
        return invocation::dry_run(settings, &workload, &columns, &planned);
    }
    let manifest = folder::manifest(settings, workload.plugin.sha256());
    let new = folder.symlink_metadata().is_err();
    let _lock = folder::open(&folder, &manifest)?;
    let total = known.len();
    let mut weight = 0;
    for point in &mut known {
        point.recording = finished(&point.path).filter(|recording| point.is_in(recording)).map(Arc::new);
        weight += point.recording.as_deref().map_or(0, Recording::weight);
        if weight > MAX_TOGETHER {
            return Err(Failure::usage(format!(
                "the finished points in {} take more than {MAX_TOGETHER} bytes of memory together; name another folder with --recording",
                folder.display()
            )));
        }
    }
    let mut told = Vec::new();
    tell_unlike(&known, &mut told, screen);
    for number in 0..total {
        let Some(point) = known.get_mut(number) else { break };
        let heading = format!("point {}/{total}: {}", number + 1, point.point);
        if let Some(recording) = &point.recording {
            for warning in Warning::of(recording) {
                screen.warn(&format!("{}: {warning}", point.point));
            }
            screen.say(&format!("{heading}: kept, as {} is finished", point.path.display()));
            continue;
        }
        screen.say(&heading);
        let resumed = point.is_resumable().then(|| invocation::record(&point.resumed(), screen));
        let recorded = match resumed {
            Some(Ok(recording)) => Ok(recording),
            Some(Err(failure)) if !matches!(failure, Failure::Usage(_)) => Err(failure),
            refused => {
                if let Some(Err(failure)) = refused {
                    screen.say(failure.message());
                }
                set_aside(&point.path, screen).and_then(|()| invocation::record(&point.settings, screen))
            }
        };
        match recorded {
            Ok(recording) => {
                point.recording = Some(recording);
                // As soon as it is known: on another machine, all that is measured from here on may be of no use.
                tell_unlike(&known, &mut told, screen);
            }
            Err(failure @ Failure::Interrupted(_)) => {
                let finished = known.iter().filter(|point| point.recording.is_some()).count();
                return Err(failure.and(&format!(
                    "{finished} of {} {} finished; the same command with --recording {} goes on",
                    plural(total, "point"),
                    if finished == 1 { "is" } else { "are" },
                    folder.display()
                )));
            }
            // One point may ask for more than there is, and the next not.
            Err(failure) => {
                // The heading is a note, and may not be shown.
                let failure = failure.of(&point.point.to_string());
                failure.print();
                point.failure = Some(failure);
            }
        }
    }
    let failed = known.iter().filter(|point| point.failure.is_some()).count();
    if failed == total {
        // Nothing to show; each said why.
        if new {
            folder::tidy(&folder);
        }
        let none = format!("none of {} could be run, as it says above", plural(total, "point"));
        let unusable = known.iter().all(|point| matches!(point.failure, Some(Failure::Usage(_))));
        return Err(if unusable { Failure::Usage(none) } else { Failure::Failed(none) });
    }
    let told = deliver::line(&table(&known, settings));
    let gone: Vec<String> =
        known.iter().filter(|point| point.is_gone()).map(|point| point.path.display().to_string()).collect();
    let drawn = draw(&known, settings, &place, screen);
    let kept = folder::keep(&folder, &manifest, screen);
    screen.say(&format!("recorded in {}", folder.display()));
    if !gone.is_empty() {
        return Err(Failure::failed(format!(
            "what was recorded is not there any more, as something else removed or changed it: {}; the same command with --recording {} \
             records it again",
            gone.join(", "),
            folder.display()
        )));
    }
    match failed {
        0 => kept.and(drawn).and(told),
        failed => {
            [kept, drawn, told].into_iter().filter_map(Outcome::err).for_each(|failure| failure.print());
            Err(Failure::failed(format!("{failed} of {} failed, as it says above", plural(total, "point"))))
        }
    }
}
