task count_rises (xs: list) -> int
about     How many elements are larger than the one before them.
ensures   result <= length xs
example   [0, 3] -> 1
example   [8, 5, -2, -9, 0] -> 1
example   [2, 3, -8, -6, -8, -9, 5] -> 3
example   [9, 8, -4, 6, -2, -6, -3] -> 2
example   [-3, 8, -1, -6, 9, 2, 3, -7, 6] -> 4
reference count (\x -> 0 < x) (zip (\x y -> y - x) xs (drop 1 xs))
