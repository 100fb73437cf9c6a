task sums_of_pairs (xs: list, ys: list) -> list
about     The sums of the elements that stand at the same place of two lists.
ensures   length result == min (length xs) (length ys)
example   [-8, -4], [-3, 2] -> [-11, -2]
example   [-7, 4], [-4, 7, 6, -4, 6] -> [-11, 11]
example   [9, 5, 4], [4, 4, 2, -2, -3] -> [13, 9, 6]
example   [5, 3], [-8, 8, 9, 8, 3] -> [-3, 11]
example   [-7, -1], [-9, -3, -1, -8, -4] -> [-16, -4]
reference zip (\x y -> x + y) xs ys
