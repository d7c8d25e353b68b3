// A row of probabilities: largest value, exact sum of exponentials, one reciprocal.

struct Op {
    pixels: u32,
    x: Place,
    y: Place,
    len: u32,
    step: u32,
    exp2: u32, // the table of powers of two
}

fn exponential(distance: u32) -> u32 {
    let t = (distance * op.step + 128u) >> 8u;
    return constant(op.exp2 + (t & 255u)) >> min(t >> 8u, 31u);
}

@compute @workgroup_size(64)
fn main(thread: Thread) {
    let row = row_of(thread, op.y, op.pixels);
    if !row.exists {
        return;
    }
    let begin = address(op.x, row.example, row.pixel);
    let to = address(op.y, row.example, row.pixel);
    var most = -128;
    for (var c = 0u; c < op.len; c++) {
        most = max(most, channel(op.x, begin, c));
    }
    var sum = 0u;
    for (var c = 0u; c < op.len; c++) {
        sum += exponential(u32(most - channel(op.x, begin, c)));
    }
    let reciprocal = divide(vec2<u32>(0u, 1u << 14u), sum).x;
    for (var quad = 0u; quad < op.y.pixel; quad++) {
        // Behind the last channel there may be numbers above the largest.
        let distances = vec4<u32>(max(vec4<i32>(most) - load(op.x, begin, quad), vec4<i32>(0)));
        var v = vec4<i32>(0);
        for (var i = 0u; i < 4u; i++) {
            // The product and 2^37 in 64 bits, by their upper halves.
            let p = (product(exponential(distances[i]), reciprocal).y + 32u) >> 6u;
            v[i] = i32(min(p, 255u)) - 128;
        }
        store(op.y, to, quad, v);
    }
}
