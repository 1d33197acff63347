"""Networks from elsewhere: files of other frameworks in, a network of ``models`` out."""
