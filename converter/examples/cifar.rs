//! Distills the CIFAR-10 ResNets under `LIMBECK_DATA` into a small student: `teacher`, `label WORK VIEWS NAMES`, and
//! `train WORK VIEWS NAMES SETTINGS STUDENT`.

use limbeck::data::{Augment, Dataset, Normalize, Part};
use limbeck::distill::{self, DistillSettings, LabelSettings, Labels};
use limbeck::families::{self, Task};
use limbeck::teacher::Teacher;
use limbeck::train::{Control, Images, TrainSettings, evaluate};
use limbeck::watch::{Stage, Watch};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

static STOP: AtomicBool = AtomicBool::new(false);
const TASK: Task = Task { image: [32, 32, 3], classes: 10 };

struct Lines {
    started: Instant,
    told: Mutex<Option<(Instant, u64)>>,
    every: Duration,
}

impl Watch for Lines {
    fn begin(&self, _: Stage, _: &str) {}
    fn step(&self, done: u64, total: u64, note: &str) {
        let mut told = self.told.lock().unwrap();
        let (at, before) = *told.get_or_insert((Instant::now(), done));
        if at.elapsed() >= self.every || done == total {
            let speed = (done - before) as f64 / at.elapsed().as_secs_f64();
            let left = (total - done) as f64 / speed / 60.0;
            println!("{:>6.0} s  {note}  {speed:.0}/s  {left:.1} min left", self.started.elapsed().as_secs_f64());
            *told = Some((Instant::now(), done));
        }
    }
    fn end(&self, _: Stage, _: &str, _: bool) {}
    fn stop(&self) -> &AtomicBool {
        &STOP
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    train: TrainSettings,
    distill: DistillSettings,
}

fn main() -> Result<(), Box<dyn Error>> {
    ctrlc::set_handler(|| STOP.store(true, Ordering::Relaxed))?;
    let args: Vec<String> = std::env::args().skip(1).collect();
    let root = PathBuf::from(std::env::var("LIMBECK_DATA")?);
    let watch = Lines { started: Instant::now(), told: Mutex::new(None), every: Duration::from_secs(30) };
    let mut control = Control::new(2, &watch);
    match &args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["teacher", name] => {
            let test = Dataset::load(&root.join("cifar10"), Part::Test, None, None)?;
            let teacher = load(&root, name)?;
            let all: Vec<usize> = (0..test.len()).collect();
            let start = Instant::now();
            let result = evaluate(&teacher.graph, &Images::plain(&test, &all, &teacher.normalize), 2)?;
            println!("{name}: {result:?} {:.2} % in {:.1} s", 100.0 * result.accuracy(), start.elapsed().as_secs_f64());
        }
        ["label", work, views, names] => {
            let data = Dataset::load(&root.join("cifar10"), Part::Train, None, None)?;
            labels(&root, &data, work, views, names, &Augment::default(), &control)?;
        }
        ["train", work, views, names, settings, student] => {
            let data = Dataset::load(&root.join("cifar10"), Part::Train, None, None)?;
            let path = Path::new(settings);
            let stem = path.with_extension("");
            let settings: Settings = toml::from_str(&std::fs::read_to_string(path)?)?;
            let labels = labels(&root, &data, work, views, names, &settings.train.augment, &control)?;
            let graph = families::build(student, &TASK, settings.train.seed)?;
            control.checkpoint = Some(stem.with_extension("checkpoint"));
            let trained = distill::distill(&graph, &data, &labels, &settings.train, &settings.distill, &control)?;
            for (i, epoch) in trained.history.iter().enumerate().filter(|(i, _)| i % 10 == 9) {
                println!("{} {epoch:?}", i + 1);
            }
            limbeck::teacher::safetensors::save(&trained.graph, &stem.with_extension("safetensors"))?;
            println!("saved {}", stem.with_extension("safetensors").display());
        }
        ["test", student, weights] => {
            let test = Dataset::load(&root.join("cifar10"), Part::Test, None, None)?;
            let teacher = Teacher::from_weights(student, &TASK, Path::new(weights), Normalize::student())?;
            let all: Vec<usize> = (0..test.len()).collect();
            let result = evaluate(&teacher.graph, &Images::plain(&test, &all, &teacher.normalize), 2)?;
            println!("{student}: {result:?} {:.2} %", 100.0 * result.accuracy());
        }
        _ => println!(
            "teacher NAME | label WORK VIEWS NAMES | train WORK VIEWS NAMES SETTINGS STUDENT | test STUDENT FILE"
        ),
    }
    Ok(())
}

fn load(root: &Path, name: &str) -> Result<Teacher, Box<dyn Error>> {
    let weights = root.join(format!("cifar10_resnets/{name}.safetensors"));
    Ok(Teacher::from_weights(name, &TASK, &weights, Normalize::imagenet())?)
}

fn labels(
    root: &Path,
    data: &Dataset,
    work: &str,
    views: &str,
    names: &str,
    augment: &Augment,
    control: &Control<'_>,
) -> Result<Labels, Box<dyn Error>> {
    let teachers = names.split(',').map(|name| load(root, name)).collect::<Result<Vec<_>, _>>()?;
    let settings = LabelSettings { views: views.parse()?, ..LabelSettings::default() };
    Ok(distill::label(&teachers, data, augment, &settings, Path::new(work), control)?)
}
