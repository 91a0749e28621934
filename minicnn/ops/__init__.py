"""Differentiable operations: validate, call a kernel, know the gradient.

They take and return Variables (Tensors, to the user); `minicnn.nn.functional` and the methods of
`minicnn.Tensor` are their public face.
"""
