// A quad of elements copied from elsewhere: what concat, pad and slice do.

struct Op {
    pixels: u32,
    x: Place,
    y: Place,
    columns: u32, // of the output
    height: u32, // of the input
    width: u32,
    channels: u32,
    before_y: u32, // elements of the output before the first of the input
    before_x: u32,
    before_c: u32,
    start_y: u32, // the first element of the input
    start_x: u32,
    start_c: u32,
    step_y: u32, // begin each element of the input to the next
    step_x: u32,
    step_c: u32,
    keep: u32, // 1 if other elements stay what they are
    fill: i32, // what they become else
}

// The element of the input for one of the output, or a number that is none.
fn source(i: u32, before: u32, start: u32, step: u32) -> u32 {
    return select(0xffffffffu, start + (i - before) * step, i >= before);
}

@compute @workgroup_size(64)
fn main(thread: Thread) {
    let q = quad_of(thread, op.y, op.pixels);
    if !q.exists {
        return;
    }
    let to = address(op.y, q.example, q.pixel);
    var v = vec4<i32>(op.fill);
    if op.keep == 1u {
        v = load(op.y, to, q.quad);
    }
    let y = source(q.pixel / op.columns, op.before_y, op.start_y, op.step_y);
    let x = source(q.pixel % op.columns, op.before_x, op.start_x, op.step_x);
    if y < op.height && x < op.width {
        let begin = address(op.x, q.example, y * op.width + x);
        for (var i = 0u; i < 4u; i++) {
            let c = source(4u * q.quad + i, op.before_c, op.start_c, op.step_c);
            if c < op.channels {
                v[i] = channel(op.x, begin, c);
            }
        }
    }
    store(op.y, to, q.quad, v);
}
