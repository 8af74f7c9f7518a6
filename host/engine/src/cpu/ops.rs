//! The CPU's arithmetic as candle operations on tensors.

use candle_core::{CpuStorage, CustomOp1, CustomOp3, DType, InplaceOp2, Layout, Result, Shape, Storage, Tensor, bail};

use crate::checkpoint::Activation;
use crate::cpu::attention::{self, append, attend};
use crate::cpu::elementwise::layer_norm;
use crate::cpu::product::{Finish, product};

/// An affine map's tensors: `[out, in]` in any dtype, and f32 `[out]` where there is a bias.
#[derive(Clone, Copy)]
pub(crate) struct Map<'a> {
    pub(crate) weight: &'a Tensor,
    pub(crate) bias: Option<&'a Tensor>,
}

/// `W x + b` of each row of an f32 `[rows, in]` tensor, through an activation function where one is given.
pub(crate) struct Product<'a> {
    pub(crate) map: Map<'a>,
    pub(crate) activation: Option<Activation>,
}

/// Adds `W x + b` to a tensor in place.
pub(crate) struct AddProduct<'a>(pub(crate) Map<'a>);

/// Layer norm of each row.
pub(crate) struct LayerNorm<'a> {
    pub(crate) scale: &'a Tensor,
    pub(crate) shift: &'a Tensor,
    pub(crate) epsilon: f32,
}

/// Puts keys (`part` 1) or values (`part` 2) into a cache in place.
pub(crate) struct Append {
    pub(crate) shape: attention::Shape,
    pub(crate) part: usize,
}

/// Attention of queries to the caches of keys and of values.
pub(crate) struct Attend<'a> {
    pub(crate) shape: attention::Shape,
    pub(crate) starts: &'a [usize],
    pub(crate) scale: f32,
}

fn numbers<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(numbers), Some((start, end))) => Ok(&numbers[start..end]),
        _ => bail!("an operand is not a contiguous f32 tensor"),
    }
}

fn numbers_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(numbers), Some((start, end))) => Ok(&mut numbers[start..end]),
        _ => bail!("a result is not a contiguous f32 tensor"),
    }
}

/// Gives the numbers of an f32 tensor on the CPU to `with`.
pub(crate) fn with_numbers<R>(tensor: &Tensor, with: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => with(numbers(storage, layout)?),
        _ => bail!("an operand is not on the CPU"),
    }
}

impl Map<'_> {
    fn apply(&self, x: &[f32], finish: Finish, out: &mut [f32]) -> Result<()> {
        let bias = self.bias.map(Tensor::storage_and_layout);
        let bias = match &bias {
            None => None,
            Some((storage, layout)) => match &**storage {
                Storage::Cpu(storage) => Some(numbers(storage, layout)?),
                _ => bail!("a bias is not on the CPU"),
            },
        };
        let k = self.weight.dim(1)?;
        let (storage, layout) = self.weight.storage_and_layout();
        let Some((start, end)) = layout.contiguous_offsets() else { bail!("a weight is not contiguous") };
        match &*storage {
            Storage::Cpu(CpuStorage::F32(weight)) => product(x, &weight[start..end], bias, k, finish, out),
            Storage::Cpu(CpuStorage::F16(weight)) => product(x, &weight[start..end], bias, k, finish, out),
            Storage::Cpu(CpuStorage::BF16(weight)) => product(x, &weight[start..end], bias, k, finish, out),
            _ => bail!("a weight is not an f32, f16 or bf16 tensor on the CPU"),
        }
        Ok(())
    }
}

impl CustomOp1 for Product<'_> {
    fn name(&self) -> &'static str {
        "product"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let rows = layout.dims()[0];
        let columns = self.map.weight.dim(0)?;
        let mut out = vec![0.0; rows * columns];
        let finish = self.activation.map_or(Finish::Store, Finish::Activate);
        self.map.apply(numbers(x, layout)?, finish, &mut out)?;
        Ok((CpuStorage::F32(out), Shape::from((rows, columns))))
    }
}

impl InplaceOp2 for AddProduct<'_> {
    fn name(&self) -> &'static str {
        "add-product"
    }

    fn cpu_fwd(&self, out: &mut CpuStorage, layout: &Layout, x: &CpuStorage, x_layout: &Layout) -> Result<()> {
        self.0.apply(numbers(x, x_layout)?, Finish::Add, numbers_mut(out, layout)?)
    }
}

impl CustomOp1 for LayerNorm<'_> {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = numbers(x, layout)?;
        let mut out = vec![0.0; x.len()];
        with_numbers(self.scale, |scale| {
            with_numbers(self.shift, |shift| {
                layer_norm(x, scale, shift, self.epsilon, &mut out);
                Ok(())
            })
        })?;
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

impl InplaceOp2 for Append {
    fn name(&self) -> &'static str {
        "append"
    }

    fn cpu_fwd(&self, cache: &mut CpuStorage, layout: &Layout, qkv: &CpuStorage, qkv_layout: &Layout) -> Result<()> {
        append(self.shape, self.part, numbers(qkv, qkv_layout)?, numbers_mut(cache, layout)?);
        Ok(())
    }
}

impl CustomOp3 for Attend<'_> {
    fn name(&self) -> &'static str {
        "attend"
    }

    fn cpu_fwd(
        &self,
        qkv: &CpuStorage,
        qkv_layout: &Layout,
        keys: &CpuStorage,
        keys_layout: &Layout,
        values: &CpuStorage,
        values_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let attention::Shape { batch, tokens, heads, size, .. } = self.shape;
        let mut out = vec![0.0; batch * tokens * heads * size];
        attend(
            self.shape,
            self.starts,
            self.scale,
            numbers(qkv, qkv_layout)?,
            numbers(keys, keys_layout)?,
            numbers(values, values_layout)?,
            &mut out,
        );
        Ok((CpuStorage::F32(out), Shape::from((batch * tokens, heads * size))))
    }
}

/// Rows of an embedding in any dtype, as f32.
pub(crate) fn embed(embedding: &Tensor, rows: &[usize], out: &mut [f32], add: bool) -> Result<()> {
    fn copy<W: crate::cpu::product::Weight>(from: &[W], to: &mut [f32], add: bool) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = if add { *to + from.to_f32() } else { from.to_f32() };
        }
    }
    let width = embedding.dim(1)?;
    if rows.iter().any(|&row| row >= embedding.dims()[0]) || embedding.dtype() == DType::F64 {
        bail!("an embedding has no such row");
    }
    let (storage, layout) = embedding.storage_and_layout();
    let start = layout.start_offset();
    for (&row, out) in rows.iter().zip(out.chunks_exact_mut(width)) {
        let range = start + row * width..start + (row + 1) * width;
        match &*storage {
            Storage::Cpu(CpuStorage::F32(numbers)) => copy(&numbers[range], out, add),
            Storage::Cpu(CpuStorage::F16(numbers)) => copy(&numbers[range], out, add),
            Storage::Cpu(CpuStorage::BF16(numbers)) => copy(&numbers[range], out, add),
            _ => bail!("an embedding is not an f32, f16 or bf16 tensor on the CPU"),
        }
    }
    Ok(())
}
