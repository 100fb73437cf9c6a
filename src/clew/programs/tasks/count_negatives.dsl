task count_negatives (xs: list) -> int
about     How many elements are below 0.
ensures   result <= length xs
example   [-9] -> 1
example   [-6, 2, 6, -6, -5, 9, -3] -> 4
example   [9, 6, 4, -7, -7] -> 2
example   [-2, 3, -8, 8, -5, 4, 0] -> 3
example   [0, -9, -1, -7, -9, -4, 3, 0, -7] -> 6
reference count (\x -> x < 0) xs
