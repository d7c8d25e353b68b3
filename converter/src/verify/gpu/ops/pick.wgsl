// A quad of one row for all: the first, or the mean of all, from exact sums.

struct Op {
    pixels: u32,
    x: Place,
    y: Place,
    mean: u32, // 0: the first row
    zero: i32,
    factors: u32, // a pair of multiplier and shift for each number of rows
    range: Range,
}

@compute @workgroup_size(64)
fn main(thread: Thread) {
    let q = quad_of(thread, op.y, op.pixels);
    if !q.exists {
        return;
    }
    var v = load(op.x, address(op.x, q.example, 0u), q.quad);
    if op.mean == 1u {
        let n = rows(op.x, q.example);
        var sums = vec4<i32>(0);
        for (var row = 0u; row < n; row++) {
            sums += load(op.x, address(op.x, q.example, row), q.quad) - vec4<i32>(op.zero);
        }
        let factor = op.factors + 2u * (n - 1u);
        v = requantize(op.range, sums, bitcast<i32>(constant(factor)), constant(factor + 1u));
    }
    store(op.y, address(op.y, q.example, q.pixel), q.quad, v);
}
