"""What a page needs: figures, tables, parameters, running chapters, the site."""
