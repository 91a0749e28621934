"""The methods of Tensor by theme; `minicnn.tensor` puts them together."""
