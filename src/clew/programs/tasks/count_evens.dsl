task count_evens (xs: list) -> int
about     How many elements are even.
ensures   result <= length xs
example   [-4, 5] -> 1
example   [5, -7, -7, -5, 2, -2] -> 2
example   [-8, -4, 0, -9] -> 3
example   [2, 4, 8, 1, 4, 2] -> 5
example   [1, -6, -8, -8, -4, 1, -3, 1, 5] -> 4
reference count (\x -> even x) xs
