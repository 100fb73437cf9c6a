task evens (xs: list) -> list
about     The even elements.
ensures   all (\x -> even x) result
example   [1] -> []
example   [2, -9, 4, 5, -6, -4] -> [2, 4, -6, -4]
example   [-8, -5, -4, 3, 4] -> [-8, -4, 4]
example   [4, -4, -9, -9, 8, 2, -1] -> [4, -4, 8, 2]
example   [2, 7, 8, -5, -4, 0, -2, -9] -> [2, 8, -4, 0, -2]
reference filter (\x -> even x) xs
