task count_above (n: int, xs: list) -> int
about     How many elements are larger than n.
ensures   result <= length xs
example   -2, [] -> 0
example   2, [-9, 5, -8, -7, 9, -8, 8] -> 3
example   -5, [-5, -7, 2, -6] -> 1
example   -5, [7, -5, 9, -9] -> 2
example   -5, [8, 3, 2, 4, 8, 4, 3, 3] -> 8
reference count (\x -> n < x) xs
