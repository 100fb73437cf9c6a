task count_records (xs: list) -> int
about     How many different largest elements the beginnings of the list have.
ensures   result <= length xs
example   [3, -4] -> 1
example   [8, 7, -2, 7, -8] -> 1
example   [-8, -1, 2, 7] -> 4
example   [-4, -3, 8, -6, 5] -> 3
example   [5, -3, 9, -6, 5, -6, -9, -3] -> 2
reference length (unique (scan (\x y -> max x y) xs))
