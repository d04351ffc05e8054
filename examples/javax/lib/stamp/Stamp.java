package stamp;

import java.io.IOException;
import javax.servlet.Filter;
import javax.servlet.FilterChain;
import javax.servlet.ServletException;
import javax.servlet.ServletRequest;
import javax.servlet.ServletResponse;
import javax.servlet.http.HttpServletResponse;

/** A filter in a library of its own, as frameworks bring them: libraries are converted, too. */
public class Stamp implements Filter {
    @Override
    public void doFilter(ServletRequest req, ServletResponse res, FilterChain next) throws IOException, ServletException {
        ((HttpServletResponse) res).setHeader("X-Stamp", Filter.class.getName());
        next.doFilter(req, res);
    }
}
