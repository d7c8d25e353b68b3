// Where a convolution or a pool looks; pairs are rows, then columns.
struct Window {
    height: u32, // of the input
    width: u32,
    columns: u32, // of the output
    kernel_y: u32,
    kernel_x: u32,
    stride_y: u32,
    stride_x: u32,
    dilation_y: u32,
    dilation_x: u32,
    pad_y: u32,
    pad_x: u32,
}

// Row and column of the input under the first tap of an output pixel. Divisions are dear, so this is done once for all taps.
fn corner(window: Window, pixel: u32) -> vec2<i32> {
    let y = i32(pixel / window.columns * window.stride_y) - i32(window.pad_y);
    let x = i32(pixel % window.columns * window.stride_x) - i32(window.pad_x);
    return vec2<i32>(y, x);
}

// The pixel of the input under a tap, or -1 where the tap lies outside.
fn under(window: Window, corner: vec2<i32>, ky: u32, kx: u32) -> i32 {
    let y = corner.x + i32(ky * window.dilation_y);
    let x = corner.y + i32(kx * window.dilation_x);
    let inside = y >= 0 && x >= 0 && y < i32(window.height) && x < i32(window.width);
    return select(-1, y * i32(window.width) + x, inside);
}
