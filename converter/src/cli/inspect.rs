//! The commands that look at a model file without running it: `inspect` and `fit`.

use super::Failure;
use super::args::{FitArgs, ModelArgs};
use super::model::labels;
use super::output::{Answered, Output, bytes, table};
use crate::artifact::Digest;
use crate::families::Input;
use crate::plan::fit;
use crate::verify::host::{self, layout_name};
use limbeck_runtime::{Element, Isa, Kernels, Model, arena_bytes};
use limbeck_targets::Target;
use serde_json::{Value, json};

/// `limbeck inspect`
pub(super) fn inspect(args: &ModelArgs, output: &Output) -> Result<(), Failure> {
    let file = host::read(&args.model)?;
    let model = host::parse(&args.model, &file)?;
    let task = host::task(&model)?;
    let (classes, kind) = (task.classes, task.input.kind());
    let tables: Vec<&str> =
        Kernels::all().map(|kernels| kernels.isa).filter(|isa| isa.reads(model.layout())).map(Isa::name).collect();
    let certificate = model.certificate();
    // Older files, or files of other makers, may carry any text.
    let metadata = serde_json::from_str(model.metadata()).unwrap_or(json!(model.metadata()));
    let mut value = json!({
        "model": args.model,
        "bytes": model.file_bytes(),
        "arena_bytes": model.arena_bytes(),
        "weight_bytes": model.weight_bytes(),
        "contract": model.contract_version(),
        "layout": layout_name(model.layout()),
        "tables": tables,
        "labels": labels(&model, classes),
        "certificate": { "n": certificate.items, "digest": format!("{:016x}", certificate.digest) },
        "self_tests": model.self_tests().count(),
        "sha256": Digest::of(&file).to_string(),
        "metadata": metadata,
        "ops": ops(&model),
    });
    let takes = match task.input {
        Input::Image(shape) => {
            value["image"] = json!(shape);
            format!("images of {} pixels", shape.map(|size| size.to_string()).join(" x "))
        }
        Input::Text { vocabulary, tokens } => {
            let bytes = model.tokenizer().map(|tokenizer| tokenizer.section().len());
            value["text"] = json!({ "tokens": tokens, "vocabulary": vocabulary, "vocabulary_bytes": bytes });
            let of = bytes.map_or("no tokenizer".to_owned(), |bytes| format!("a tokenizer of {bytes} bytes"));
            format!("texts of up to {tokens} tokens out of {vocabulary}, with {of}")
        }
    };
    output.answer(&value, || {
        let rows: Vec<Vec<String>> = ops(&model)
            .iter()
            .enumerate()
            .map(|(index, op)| {
                let sizes = op["output"].as_array().into_iter().flatten().map(Value::to_string);
                vec![
                    index.to_string(),
                    op["op"].as_str().unwrap_or_default().to_owned(),
                    sizes.collect::<Vec<_>>().join(" x "),
                    op["element"].as_str().unwrap_or_default().to_owned(),
                    op["scratch_bytes"].to_string(),
                ]
            })
            .collect();
        format!(
            "{}: {} ({} of them weights), arena {}, contract {}, layout {}\ntakes {takes}\nclasses: {}\nverified over {} {kind}, digest {:016x}\n\n{}",
            args.model.display(),
            bytes(model.file_bytes() as u64),
            bytes(model.weight_bytes() as u64),
            bytes(model.arena_bytes() as u64),
            model.contract_version(),
            layout_name(model.layout()),
            labels(&model, classes).join(", "),
            certificate.items,
            certificate.digest,
            table(&["op", "kind", "output", "of", "scratch"], &rows)
        )
    })
}

fn ops(model: &Model<'_>) -> Vec<Value> {
    let op = |view: limbeck_runtime::format::OpView<'_, '_>| {
        json!({
            "op": view.kind().map_or("", |kind| kind.name()),
            "output": view.output().shape.sizes(),
            "element": element(view.output().element),
            "sequence": view.output().sequence,
            "scratch_bytes": view.scratch().len(),
        })
    };
    model.ops().map(op).collect()
}

fn element(element: Element) -> &'static str {
    match element {
        Element::Int8 => "int8",
        Element::Int16 => "int16",
        Element::Token => "token",
    }
}

/// `limbeck fit`
pub(super) fn fit_target(args: &FitArgs, output: &Output) -> Result<(), Failure> {
    let file = host::read(&args.model)?;
    let model = host::parse(&args.model, &file)?;
    let target = Target::find(&args.target)?;
    // Only a table that reads the file's order of weights can run it; scalar reads all.
    let isas = target.isas.iter().filter_map(|name| Isa::by_name(name));
    let isa = isas.into_iter().find(|isa| isa.reads(model.layout())).unwrap_or(Isa::Scalar);
    let (size, arena) = (model.file_bytes(), arena_bytes(&model, isa));
    let result = fit(target, size, arena);
    let remark = (isa.name() != target.isa()).then(|| {
        format!(
            "the file is in layout {}, which runs there on the table `{}`; a file packed for `{}` runs on `{}`",
            layout_name(model.layout()),
            isa.name(),
            target.name,
            target.isa()
        )
    });
    let problem = result.as_ref().err().map(ToString::to_string);
    let value = json!({
        "model": args.model,
        "target": target.name,
        "fits": result.is_ok(),
        "bytes": size,
        "arena_bytes": arena,
        "table": isa.name(),
        "flash_room": target.device.as_ref().map(|device| device.model_flash_bytes()),
        "ram_room": target.device.as_ref().map(|device| device.arena_bytes()),
        "stack_bytes": target.device.as_ref().map(|device| device.stack_bytes),
        "problem": problem,
        "remark": remark,
    });
    let text = || {
        let first = match &result {
            Err(_) => return String::new(),
            Ok(None) => format!("{} is a host: every model fits it", target.name),
            Ok(Some(fit)) => format!(
                "it fits {}: flash {} of {} bytes, RAM {} of {} bytes beside {} of stack, table {}",
                target.name,
                fit.file,
                fit.flash,
                fit.arena,
                fit.ram,
                fit.stack,
                isa.name()
            ),
        };
        remark.as_ref().map_or(first.clone(), |remark| format!("{first}\n{remark}"))
    };
    match problem {
        None => output.answer(&value, text),
        Some(problem) => {
            output.answer_json(&value)?;
            Err(Box::new(Answered(problem)))
        }
    }
}
