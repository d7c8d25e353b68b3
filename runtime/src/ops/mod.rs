//! What each operator is: one file an operator, parameters first.

mod add;
mod conv2d;
mod depthwise;
mod linear;
mod lut;
mod mul;
mod pool;
mod softmax;
mod window;

pub use add::Add;
pub use conv2d::Conv2d;
pub use depthwise::Depthwise;
pub use linear::Linear;
pub use lut::Lut;
pub use mul::Mul;
pub use pool::{AvgPool, MaxPool};
pub use softmax::Softmax;
pub use window::Window;
