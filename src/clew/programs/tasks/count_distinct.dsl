task count_distinct (xs: list) -> int
about     How many different elements there are.
ensures   result <= length xs
example   [-2] -> 1
example   [0, 1, 2, -3, -3] -> 4
example   [-3, 0, 2, 3, 0, 1, 0] -> 5
example   [3, 3, 2, -2] -> 3
example   [1, 3, 3, 0, -3, 2, -2, 3, 2] -> 6
reference length (unique xs)
